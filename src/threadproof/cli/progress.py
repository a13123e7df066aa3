"""One line on a terminal that says how far a long step is."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 30
INTERVAL = 0.1  # seconds between two drawings: often enough to look alive, too seldom to cost anything


class Progress:
    """A bar drawn over itself on `stream`; nothing at all where that is not a terminal or `quiet` is true."""

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self.stream = stream
        self.silent = quiet or not stream.isatty()
        self.drawn = 0.0
        self.step, self.total, self.unit = "", 1, ""

    def begin(self, step: str, total: int, unit: str = "files") -> None:
        """Say what the bar shows from now on, and how many of the unit are all of it."""
        self.step, self.total, self.unit = step, max(total, 1), unit

    def show(self, done: int) -> None:
        """Draw the bar at `done` units, unless it was drawn a moment ago."""
        now = time.monotonic()
        if self.silent or now - self.drawn < INTERVAL:
            return
        self.drawn = now
        bar = "#" * (WIDTH * done // self.total)
        self.write(f"{self.step:<24} [{bar:<{WIDTH}}] {done:,} of {self.total:,} {self.unit}")

    def say(self, step: str) -> None:
        """Show the step alone, where nobody knows how far it is."""
        if not self.silent:
            self.write(step)

    def clear(self) -> None:
        """Take the bar away, so that the next line starts on a clean one."""
        if not self.silent:
            self.write("")

    def write(self, line: str) -> None:
        self.stream.write(f"\r\x1b[K{line}")  # ESC [ K erases to the end of the line
        self.stream.flush()
