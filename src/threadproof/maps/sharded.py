"""ShardedMap: many dicts, each under its own lock. The simplest map whose writers seldom wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from threadproof.maps.tables import TabledMap
from threadproof.maps.contract import COMPUTING, OLDEST, age_of
from threadproof.stats import Stats, counter, gauge, ratio

K = TypeVar("K")
V = TypeVar("V")

@dataclass(frozen=True, slots=True)
class ShardedMapStats(Stats):
    """How a ShardedMap's entries and its threads are spread over its shards."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    sizes: tuple[int, ...] = field(metadata=gauge("keys", "keys in each shard"))
    imbalance: float = field(
        metadata=ratio("the largest shard's size over the average; 1.0 is even, or empty")
    )
    contended: int = field(metadata=counter("waits", "times that a thread found a shard's lock taken"))
    bytes: int = field(metadata=gauge("bytes", "memory of the dicts, without keys and values"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class ShardedMap(TabledMap[K, V]):
    """64 dicts, each under its own lock; the hash of a key chooses one.

    It keeps the contract in the same way as LockedMap (see ChainedMap and TabledMap), but threads wait for
    each other only if their keys share a shard. `len`, `clear`, `drain`, `snapshot`, `stats`, and iterators
    when they begin, hold all shards. The copies that `snapshot` and iterators make take time proportional to
    the size, and writers wait for them.

    A subclass may set `shards` to another power of two.
    """

    __slots__ = ()

    shards: ClassVar[int] = 64  # far more than threads that run at once, so that two seldom want the same

    def stats(self) -> ShardedMapStats:
        sizes, _, contended, taken = self._stats()
        size = sum(sizes)
        imbalance = max(sizes) * len(sizes) / size if size else 1.0
        return ShardedMapStats(size, sizes, imbalance, contended, taken, *age_of(self))
