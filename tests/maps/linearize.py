"""Run random mixes on a map and check that every round of every run is linearizable.

    python -m tests.maps.linearize --map HashMap --ops 1e8 --seed 42

The tests run a short one; by hand, a run may have any length. The seed gives the same calls again, but not
the same interleaving: the printed timeline is the proof of a failure.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from random import Random
from typing import Any

from tests.kit.hammer import Gate, hammer, seeded
from tests.kit.linearize import History, Recorder, assert_linearizable
from tests.maps.conftest import MAPS
from tests.maps.mixes import MIXES, Mix, Programs, make_plan

ROUNDS = 200  # in a plan: enough to make starting the threads cheap
REPEATS = 5  # of a plan: making it costs more than running it
SWITCH = 1e-5  # seconds a thread keeps the GIL, where there is one; Python's own 5 ms is longer than a round

MakeMap = Callable[[], Any]


def verify(make_map: MakeMap, mix: Mix, random: Random, operations: int) -> Iterator[int]:
    """Check that many operations, and yield their number after each step. Fails with a timeline."""
    checked = 0
    for plan in _plans(mix, random):
        histories = run(make_map, plan, mix.shared)
        for history in histories:
            assert_linearizable(history, mix.model)
        checked += sum(map(len, histories))
        yield sum(map(len, histories))
        if checked >= operations:
            return


def _plans(mix: Mix, random: Random) -> Iterator[list[Programs]]:
    while True:
        yield from [make_plan(mix, random, ROUNDS)] * REPEATS


def run(make_map: MakeMap, plan: list[Programs], shared: int) -> list[History]:
    """The history of each round. All threads begin a round together; that many rounds share a map."""
    threads = len(plan[0])
    maps = [target for _ in plan[::shared] for target in [make_map()] * shared][: len(plan)]
    recorders = [Recorder(threads) for _ in plan]
    gate = Gate(threads)

    def work(thread: int) -> None:
        for target, recorder, programs in zip(maps, recorders, plan, strict=True):
            gate.wait(thread)
            recorder.perform(thread, programs[thread], target)

    with _short_switches():
        hammer(work, threads)
    for target in maps[::shared]:
        target.check()
    return [recorder.history() for recorder in recorders]


@contextmanager
def _short_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def main() -> None:
    """The command in this module's heading."""
    parser = argparse.ArgumentParser(
        "python -m tests.maps.linearize", description="See the module's heading."
    )
    maps = {each.__name__: each for each in MAPS}
    parser.add_argument("--map", choices=maps, default="HashMap")
    parser.add_argument("--ops", type=float, default=1e6, help="operations to check, in all (%(default)s)")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    random, start, checked = seeded(options.seed), time.monotonic(), 0
    runs = [verify(maps[options.map], mix, random, int(options.ops / len(MIXES))) for mix in MIXES]
    line = ""
    for done in chain.from_iterable(runs):
        checked += done
        rate = checked / (time.monotonic() - start)
        line = f"{options.map}: {checked:,} operations, {rate:,.0f} a second: all linearizable"
        if sys.stdout.isatty():  # a pipe or a file gets the last line alone
            print(f"\r{line}", end="", flush=True)
    print(f"\r{line}" if sys.stdout.isatty() else line)


if __name__ == "__main__":
    main()
