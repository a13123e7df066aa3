"""Sources that several tests lint."""

from __future__ import annotations

# reset() adds without the lock that the other methods hold.
COUNTER = """\
import threading

class Counter:
    def __init__(self):
        self._lock = threading.Lock()
        self.n = 0

    def add(self):
        with self._lock:
            self.n += 1

    def subtract(self):
        with self._lock:
            self.n -= 1

    def reset(self):
        self.n += 5
"""
