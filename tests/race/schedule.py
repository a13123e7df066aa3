"""Runs the threads of a case in a chosen order, which the detector does not see.

Pipes hold threads back and release them, because a pipe creates no edge. So each case can run with the first
thread first, with the last thread first, or with all at once, and the verdict must be the same each time.
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
    """Opened once, by any thread; invisible to the detector."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def open(self) -> None:
        os.write(self.writer, b"!")

    def wait(self, seconds: float | None = None) -> None:
        """Return when it is open, or after that many seconds."""
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
    """The rule of a case's race; one of these, if it depends on the thread that came first."""

    def mark(case: Callable[[], None]) -> Callable[[], None]:
        case.rules = rules  # type: ignore[attr-defined]
        return case

    return mark
