"""The cost of the contention profiler: of a free lock, and of whole programs. Prints ratios.

    python benchmarks/contention.py [--rounds N]

The lock: `with lock:` in a loop of one thread, with the profiler, without it, and after it, in CPU time and
in turn; the best of all rounds counts. A program is main() of a module of benchmarks/race_programs, run by
four threads, with and without the profiler in new processes, in turn; the ratio is that of the medians of CPU
time. Two of them need the dependency group race-bench.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median

PROGRAMS = ("markdown", "sql", "objects")
FOLDER = Path(__file__).parent / "race_programs"
THREADS = 4
REPEATS = 6  # of main() in each thread: a second or so, beside which the start of threads is short
ENTRIES = 200_000  # of a lock, in a measurement: some 20 ms


def loop(lock: AbstractContextManager[object]) -> float:
    """Nanoseconds of `with lock:`."""
    begin = time.thread_time_ns()
    for _ in range(ENTRIES):
        with lock:
            pass
    return (time.thread_time_ns() - begin) / ENTRIES


def lock_costs(rounds: int) -> None:
    from threadproof.watch.contention import profile

    makers: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "Lock": threading.Lock,
        "RLock": threading.RLock,
        "Semaphore": threading.Semaphore,
    }
    locks = {name: make() for name, make in makers.items()}
    plain = {name: loop(lock) for name, lock in locks.items()}

    def measure(best: dict[str, float]) -> None:
        for name, lock in locks.items():
            best[name] = min(best[name], loop(lock))

    for _ in range(rounds):
        measure(plain)  # before anything is intercepted, for there is no way back
    on, off = ({name: float("inf") for name in locks} for _ in range(2))
    for _ in range(rounds):
        with profile():
            measure(on)
        measure(off)
    print(f"{'with lock':12} {'ns':>7} {'profiled':>9} {'afterwards':>11}")
    for name in locks:
        print(
            f"{name:12} {plain[name]:>7.1f} {on[name] / plain[name]:>8.3f}x {off[name] / plain[name]:>10.3f}x"
        )


def program_costs(rounds: int) -> None:
    print(f"{'program':12} {'CPU s':>7} {'profiled':>9}")
    for program in PROGRAMS:
        times: dict[str, list[float]] = {"plain": [], "profiled": []}
        for _ in range(rounds):
            for way, seconds in times.items():
                command = [sys.executable, __file__, "--run", program, way]
                seconds.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        plain, profiled = median(times["plain"]), median(times["profiled"])
        print(f"{program:12} {plain:>7.2f} {profiled / plain:>8.3f}x", flush=True)


def run(program: str, way: str) -> None:
    """Print the CPU time of the program in threads, in this process."""
    from threadproof.watch.contention import profile

    sys.path.insert(0, str(FOLDER))
    main = importlib.import_module(program).main
    main()  # imports, caches

    def work() -> None:
        for _ in range(REPEATS):
            main()

    with profile() if way == "profiled" else nullcontext():
        begin = time.process_time()
        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(time.process_time() - begin))


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of the contention profiler.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--run", nargs=2, metavar=("PROGRAM", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        run(*args.run)
        return
    lock_costs(args.rounds * 3)
    print()
    program_costs(args.rounds)


if __name__ == "__main__":
    main()
