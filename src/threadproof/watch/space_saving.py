"""Space-Saving: the most frequent of many keys, in little memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Counted:
    """A key and its count, which is too high by at most `error`."""

    key: Hashable
    count: int
    error: int


class SpaceSaving:
    """Counts keys with at most `room` counters (Metwally, Agrawal and El Abbadi, 2005).

    A key that has no counter takes over the smallest one, and its count with it as the error. So every key
    that is more frequent than one in `room` has a counter, and no count is too low. One thread at a time.
    """

    def __init__(self, room: int = 64) -> None:
        if room < 1:
            raise ValueError(f"SpaceSaving() needs room for at least 1 key, got {room}")
        self.room = room
        self.total = 0
        self._counts: dict[Hashable, int] = {}
        self._errors: dict[Hashable, int] = {}

    def add(self, key: Hashable) -> None:
        """Count one occurrence."""
        self.total += 1
        if key in self._counts or len(self._counts) < self.room:
            self._counts[key] = self._counts.get(key, 0) + 1
            return
        smallest = min(self._counts, key=self._counts.__getitem__)
        self._errors.pop(smallest, None)
        self._errors[key] = self._counts.pop(smallest)
        self._counts[key] = self._errors[key] + 1

    def top(self, count: int = 10) -> list[Counted]:
        """The keys with the highest counts, the highest first."""
        ranked = sorted(self._counts.items(), key=lambda pair: -pair[1])
        return [Counted(key, times, self._errors.get(key, 0)) for key, times in ranked[:count]]
