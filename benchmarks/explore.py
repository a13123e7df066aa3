"""The explorer's speed, and how soon it finds the planted mistakes of tests/explore.

    python benchmarks/explore.py [--schedules N] [--rounds N]        # speed
    python benchmarks/explore.py --planted [--strategy NAME ...]     # a table

Speed: random schedules of a test with two threads, each of which adds to a counter under a lock; the best of all
rounds counts, in schedules for each second of the clock and of CPU time. Steps are those that the log of a run has.
The table: for each mistake the schedule that found it, and the seconds, with the search for a shorter one and ten
replays; for its correct twin the number of schedules after which partial order reduction is done.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.explore.programs import PLANTED
from tests.explore.variants import VARIANTS
from threadproof.explore import explore
from threadproof.explore.executor import Executor
from threadproof.explore.schedule import Plan
from threadproof.probe.scope import Scope

EVERY = {**PLANTED, **VARIANTS}
TESTS = {"short": 1, "long": 12}  # additions of each thread: 12 and 100 steps
MOST = 1_000  # schedules of a row of the table: ten times what is allowed
PATIENCE = 60.0  # seconds


class Counter:
    def __init__(self) -> None:
        self.n = 0
        self.lock = threading.Lock()

    def add(self, times: int) -> None:
        for _ in range(times):
            with self.lock:
                self.n += 1


def count(times: int) -> None:
    counter = Counter()
    threads = [threading.Thread(target=counter.add, args=(times,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.n == 2 * times


def steps(test: Callable[[], None]) -> int:
    """Those of a run that begins as the threads were started."""
    with Executor(Scope([str(Path(__file__).parent)])) as executor:
        executor.run(test, Plan())
        return len(executor.run(test, Plan()).log().steps)


def speed(schedules: int, rounds: int) -> None:
    for name, times in TESTS.items():
        test = partial(count, times)
        fastest, cheapest = 0.0, 0.0
        for _ in range(rounds):
            began, used = time.perf_counter(), time.process_time()
            found = explore(
                test, name=name, strategy="random", schedules=schedules, seconds=1e9, roots=[__file__]
            )
            found.check()
            fastest = max(fastest, found.schedules / (time.perf_counter() - began))
            cheapest = max(cheapest, found.schedules / (time.process_time() - used))
        print(
            f"{name}: {steps(test)} steps, {fastest:,.0f} schedules/s, {cheapest:,.0f} for each second of CPU",
            flush=True,
        )


def planted(strategies: list[str]) -> None:
    print(f"{'mistake':32}" + "".join(f"{each:>16}" for each in strategies) + f"{'twin (dpor)':>16}")
    found_at: dict[str, list[int]] = {each: [] for each in strategies}
    for name, (wrong, right) in EVERY.items():
        cells = []
        for each in strategies:
            began = time.perf_counter()
            found = explore(wrong, strategy=each, schedules=MOST, seconds=PATIENCE)
            seconds = time.perf_counter() - began
            found_at[each].append(found.found_at or MOST)
            cells.append(f"{found.found_at}, {seconds:.2f} s" if found.failure else "not found")
        twin = explore(right, strategy="dpor", schedules=MOST, seconds=PATIENCE)
        twin.check()
        cells.append(f"{twin.schedules}" if twin.exhausted else f"more than {twin.schedules}")
        print(f"{name:32}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    for each, all_found in found_at.items():
        print(f"{each}: {len(all_found)} mistakes, median {median(all_found):g}, most {max(all_found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--planted", action="store_true", help="print the table of planted mistakes")
    parser.add_argument("--strategy", action="append", help="of the table; may be repeated (auto)")
    parser.add_argument("--schedules", type=int, default=5_000, help="in each round (5000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each test (5)")
    options = parser.parse_args()
    if options.planted:
        planted(options.strategy or ["auto"])
    else:
        speed(options.schedules, options.rounds)


if __name__ == "__main__":
    main()
