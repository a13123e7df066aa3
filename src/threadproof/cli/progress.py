"""One line on a terminal that shows how far a long step is."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 30  # characters of the bar: with the step's name and the numbers it fits a line of 80
INTERVAL = 0.1  # seconds between two drawings: often enough for a person, seldom enough to be cheap


class Progress:
    """A bar that is redrawn in place on `stream`; draws nothing if that is not a terminal, or if `quiet`."""

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self.stream = stream
        self.silent = quiet or not stream.isatty()
        self.drawn = 0.0
        self.step, self.total, self.unit = "", 1, ""

    def begin(self, step: str, total: int, unit: str = "files") -> None:
        """Start a step of `total` units."""
        self.step, self.total, self.unit = step, max(total, 1), unit

    def show(self, done: int) -> None:
        """Draw the bar at `done` units, unless the last drawing was a moment ago."""
        now = time.monotonic()
        if self.silent or now - self.drawn < INTERVAL:
            return
        self.drawn = now
        bar = "#" * (WIDTH * done // self.total)
        self.write(f"{self.step:<24} [{bar:<{WIDTH}}] {done:,} of {self.total:,} {self.unit}")

    def say(self, step: str) -> None:
        """Show the step's name alone, for a step of unknown length."""
        if not self.silent:
            self.write(step)

    def clear(self) -> None:
        """Erase the bar, so that the next text starts on an empty line."""
        if not self.silent:
            self.write("")

    def write(self, line: str) -> None:
        self.stream.write(f"\r\x1b[K{line}")  # ESC [ K erases to the end of the line
        self.stream.flush()
