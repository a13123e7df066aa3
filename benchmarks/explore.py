"""The explorer's speed, how soon it finds planted mistakes, and whether tokens repeat their failures.

    python benchmarks/explore.py [--schedules N] [--rounds N]        # speed
    python benchmarks/explore.py --planted [--strategy NAME ...]     # a table
    python benchmarks/explore.py --exhaust                           # a table
    python benchmarks/explore.py --tokens N                          # replays

Speed: random schedules of a test with two threads, each of which adds to a counter under a lock; the best of
all rounds counts, in schedules for each second of the clock and of CPU time. Steps are those that the log of
a run has. --planted: for each mistake of tests/explore the schedule that found it, and the seconds, with the
search for a shorter one and ten replays; for its correct twin the number of schedules after which partial
order reduction is done. --exhaust: the numbers of schedules after which the programs of
tests/explore/structures.py are explored. --tokens: random schedules of all planted programs give N different
tokens of failures. New processes, with a hundred tokens each, replay every token in its own program, which
has to fail alike by the same steps, and in the correct twin, where a divergence has to be noticed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.explore.programs import PLANTED
from tests.explore.structures import STRUCTURES
from tests.explore.variants import VARIANTS
from threadproof.explore import explore
from threadproof.explore.api import roots_of
from threadproof.explore.executor import Executor
from threadproof.explore.schedule import Plan
from threadproof.explore.story import Recorder
from threadproof.explore.token import token_of
from threadproof.probe.scope import Scope

EVERY = {**PLANTED, **VARIANTS}
TESTS = {"short": 1, "long": 12}  # additions of each thread: 12 and 100 steps
MOST = 1_000  # schedules of a row of the table: ten times what is allowed
PATIENCE = 60.0  # seconds
BATCH = 100  # tokens of a process: so that its start is not what takes the time
LARGEST = 20_000  # schedules: what is not explored by then is called so


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
            f"{name}: {steps(test)} steps, {fastest:,.0f} schedules/s, "
            f"{cheapest:,.0f} for each second of CPU",
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


def exhaust() -> None:
    print(f"{'program':45}{'all behaviours':>16}{'preemptions <= 2':>20}")
    for name, test in STRUCTURES.items():
        cells = []
        for strategy in ("dpor", "dfs"):
            found = explore(test, strategy=strategy, bound=2, schedules=LARGEST, seconds=PATIENCE)
            found.check()
            cells.append(str(found.schedules) if found.exhausted else f"> {found.schedules}")
        print(f"{name:45}{cells[0]:>16}{cells[1]:>20}", flush=True)


# ---- tokens

Row = tuple[str, str, str]  # the program's name, the token, the failure


def failing_tokens(count: int) -> list[Row]:
    """Of all programs by turns; distinct ones."""
    rows: dict[Row, None] = {}
    share, seed = -(-count // len(EVERY)), 0
    while len(rows) < count:
        for name, (wrong, _) in EVERY.items():
            rows.update(dict.fromkeys(tokens_of(name, wrong, share, seed)))
        seed += 1
        print(f"{len(rows)} tokens", flush=True)
    return list(rows)[:count]


def tokens_of(name: str, test: Callable[[], object], most: int, seed: int) -> list[Row]:
    rows: list[Row] = []
    scope = Scope(roots_of(test))
    with Executor(scope) as executor:
        executor.run(test, Plan())
        executor.run(test, Plan())
        for number in range(8 * most):
            run = executor.run(test, Plan(policy="random", seed=seed << 32 | number))
            if run.failure:
                # once more, with the code of its steps
                again = executor.run(test, Plan(prefix=run.sequence), Recorder())
                rows.append((name, str(token_of(again.log(), scope)), str(run.failure.signature)))
            if len(rows) == most:
                break
    return rows


def replay(rows: list[Row]) -> list[str]:
    """In this process; the sentences say what went wrong."""
    wrong = []
    for name, token, failure in rows:
        found = explore(EVERY[name][0], replay=token)
        if found.diverged or not found.failure or str(found.failure.signature) != failure:
            wrong.append(f"{name}: {token} gives {found.diverged or found.summary()}")
        elif found.token != token:
            wrong.append(f"{name}: {token} takes the steps of {found.token}")
        if not explore(EVERY[name][1], replay=token).diverged:
            wrong.append(f"{name}: {token} is not noticed to be none of the correct twin")
    return wrong


def tokens(count: int) -> None:
    rows = failing_tokens(count)
    began, wrong = time.perf_counter(), 0
    for first in range(0, count, BATCH):
        done = subprocess.run(
            [sys.executable, __file__, "--replay"],
            input=json.dumps(rows[first : first + BATCH]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        for sentence in (sentences := json.loads(done.stdout)):
            print(sentence, flush=True)
        wrong += len(sentences)
    seconds = time.perf_counter() - began
    programs = len({name for name, _, _ in rows})
    print(f"{count} tokens of {programs} programs, {wrong} wrong, {seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--planted", action="store_true", help="print the table of planted mistakes")
    parser.add_argument("--strategy", action="append", help="of the table; may be repeated (auto)")
    parser.add_argument("--schedules", type=int, default=5_000, help="in each round (5000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each test (5)")
    parser.add_argument("--exhaust", action="store_true", help="print the table of correct programs")
    parser.add_argument("--tokens", type=int, metavar="N", help="replay so many tokens")
    parser.add_argument("--replay", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        json.dump(replay(json.load(sys.stdin)), sys.stdout)
    elif options.tokens:
        tokens(options.tokens)
    elif options.exhaust:
        exhaust()
    elif options.planted:
        planted(options.strategy or ["auto"])
    else:
        speed(options.schedules, options.rounds)


if __name__ == "__main__":
    main()
