"""LockedMap: a dict and one lock. It is the contract as a program: tests compare every other map with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from threadproof.maps.tables import TabledMap
from threadproof.maps.contract import COMPUTING, OLDEST, age_of
from threadproof.stats import Stats, gauge

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class LockedMapStats(Stats):
    """How big a LockedMap is."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    hashes: int = field(metadata=gauge("hashes", "different hashes of the keys"))
    bytes: int = field(metadata=gauge("bytes", "memory of the dict, without keys and values"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class LockedMap(TabledMap[K, V]):
    """A dict and one lock: the simplest map that keeps the contract. Use it to check another map.

    ChainedMap and TabledMap explain how it works; it has one table.
    """

    __slots__ = ()

    shards: ClassVar[int] = 1

    def stats(self) -> LockedMapStats:
        (size,), hashes, _, taken = self._stats()
        return LockedMapStats(size, hashes, taken, *age_of(self))
