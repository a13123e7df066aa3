"""Runs the threads of a case in an order that is chosen, and that the detector does not see.

A pipe is what holds a thread back and lets it go: no edge comes from that. So each case can be run first
thread first, last thread first, or all at once, and the verdict has to be the same each time.
"""

from __future__ import annotations

import os
import random
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any

PATIENCE = 0.03  # seconds a thread may block before the next one is let go: it may be waiting for that one


class Box:
    """Something to hang attributes on."""

    n: Any
    v: Any

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Gate:
    """Opened once, by anybody; invisible to the detector."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def open(self) -> None:
        os.write(self.writer, b"!")

    def wait(self, seconds: float | None = None) -> None:
        """Come back when it is open, or after so many seconds."""
        select.select([self.reader], [], [], seconds)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


order: Callable[[Sequence[int]], Sequence[int]] | None = None  # None: all at once


def choose(name: str) -> None:
    """The schedule of the cases that follow: "forward", "backward", "together", or "random" and a seed."""
    global order
    if name.startswith("random"):
        shuffled = random.Random(name)
        order = lambda places: shuffled.sample(places, len(places))  # noqa: E731
    else:
        order = {"forward": list, "backward": lambda places: list(reversed(places)), "together": None}[name]


def run(*functions: Callable[[], object]) -> None:
    """Run each in a thread of its own, in the chosen order, and wait for all; raise what they raised."""
    gates = [(Gate(), Gate()) for _ in functions]
    errors: list[Exception] = []
    threads = [
        threading.Thread(target=between, args=(function, *gate, errors))
        for function, gate in zip(functions, gates, strict=True)
    ]
    for thread in threads:
        thread.start()
    for place in order(range(len(functions))) if order else range(len(functions)):
        gates[place][0].open()
        if order:
            gates[place][1].wait(PATIENCE)
    for thread in threads:
        thread.join()
    for begin, done in gates:
        begin.close()
        done.close()
    if errors:
        raise ExceptionGroup("raised by the threads of a case", errors)


def between(function: Callable[[], object], begin: Gate, done: Gate, errors: list[Exception]) -> None:
    begin.wait()
    try:
        function()
    except Exception as error:
        errors.append(error)
    finally:
        done.open()


def reports(*rules: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """What the race of a case is called; one of these, where that depends on who came first."""

    def mark(case: Callable[[], None]) -> Callable[[], None]:
        case.rules = rules  # type: ignore[attr-defined]
        return case

    return mark
