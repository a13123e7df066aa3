"""Runs one program under the race detector, with its threads started in a chosen order.

    python -m tests.race.schedule_program 3 --severity note program.py arguments...

The number chooses the schedule, and what follows is for `threadproof race`. The program itself is unchanged:
a thread it starts is held back for a while, or its starter is, by a pipe that the detector does not see. So
is each worker of an executor after its first task, or one worker could do them all, and nothing would race.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures.thread import _WorkItem
from typing import Any

from tests.race.schedule import PATIENCE, Gate
from threadproof.cli import main

Delays = tuple[
    float, float
]  # in units of PATIENCE: of the new thread, and of its starter, who waits for its end
AT_ONCE, IN_TURN = 0, 1
CHOICES = (0.0, 0.0, 0.25, 0.5, 1.0)


def delays(number: int) -> Callable[[int], Delays]:
    """The delays of a schedule for the n-th thread that starts."""
    if number == AT_ONCE:
        return lambda place: (0, 0)
    if number == IN_TURN:
        return lambda place: (0, 1)
    if number == IN_TURN + 1:  # the last one first
        return lambda place: (1 / (1 + place), 0)
    chosen = random.Random(number)
    return lambda place: (chosen.choice(CHOICES), chosen.choice(CHOICES))


def scatter(number: int) -> None:
    """From now on, threads start as schedule `number` requires."""
    original: Any = threading._start_joinable_thread  # type: ignore[attr-defined]
    of_place, places = delays(number), itertools.count()

    def start(function: Callable[[], None], handle: Any = None, daemon: bool = True) -> Any:
        late, patience = of_place(next(places))
        never, done = Gate(), Gate()

        def held_back() -> None:
            never.wait(late * PATIENCE)
            try:
                function()
            finally:
                done.open()

        started = original(held_back, handle=handle, daemon=daemon)
        done.wait(patience * PATIENCE)
        return started

    threading._start_joinable_thread = start  # type: ignore[attr-defined]


def share_tasks() -> None:
    """From now on, a worker rests after its first task, longer than any thread is held back at its start."""
    original: Any = _WorkItem.run
    workers = threading.local()

    def run(self: Any, *context: Any) -> None:
        original(self, *context)
        if not hasattr(workers, "rested"):
            workers.rested = True
            Gate().wait(2 * PATIENCE)

    _WorkItem.run = run  # type: ignore[method-assign]


if __name__ == "__main__":
    share_tasks()
    scatter(int(sys.argv[1]))
    sys.setswitchinterval(1e-4)  # where there is a GIL, threads change places in the midst of things
    sys.exit(main(["race", *sys.argv[2:]]))
