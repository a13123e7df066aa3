"""ShardedMap: many dicts, each under its own lock. The simplest map whose writers seldom wait."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, ClassVar, TypeVar, cast

from threadproof._core import DeadlockError
from threadproof.maps.tables import TabledMap
from threadproof.stats import Stats, counter, gauge, ratio

K = TypeVar("K")
V = TypeVar("V")

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio: multiples of it spread evenly (Knuth, TAOCP 3, 6.4)
PATIENCE = 10.0  # seconds; a lock is held for microseconds, so a thread that waits that long is in a cycle


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


class ShardLock:
    """A re-entrant lock that counts how often threads waited for it."""

    __slots__ = ("_every", "_lock", "contended")

    def __init__(self, lock: Any, every: tuple[Any, ...]) -> None:
        self._lock = lock
        self._every = every  # the locks of all shards
        self.contended = 0  # changed under the lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._wait()
            self.contended += 1

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def _wait(self) -> None:
        """Wait for the lock; while holding another shard's, only for PATIENCE: there may be a cycle."""
        if not any(lock._is_owned() for lock in self._every):
            self._lock.acquire()
        elif not self._lock.acquire(timeout=PATIENCE):
            raise DeadlockError(
                "a signal handler or finalizer that interrupted a ShardedMap waits for another thread, which "
                "waits for it; use a HashMap, or let a thread do the work of the handler"
            )


class ShardedMap(TabledMap[K, V]):
    """64 dicts, each under its own lock; the hash of a key chooses one.

    It keeps the contract in the same way as LockedMap (see ChainedMap and TabledMap), but threads wait for
    each other only if their keys share a shard. `len`, `clear`, `drain`, `snapshot`, `stats`, and iterators
    when they begin, hold all shards. The copies that `snapshot` and iterators make take time proportional to
    the size, and writers wait for them.

    A subclass may set `shards` to another power of two.

    A signal handler or a finalizer may interrupt a thread while it holds a shard, and use the same map. If
    two threads are interrupted in this way and want each other's shard, DeadlockError is raised in one of
    them.
    """

    __slots__ = ()

    shards: ClassVar[int] = 64  # far more than threads that run at once, so that two seldom want the same

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.shards < 1 or cls.shards & (cls.shards - 1):
            raise ValueError(f"{cls.__name__}.shards must be a power of two, got {cls.shards}; 64 suits most")

    def _new_locks(self) -> tuple[ShardLock, ...]:
        every = tuple(RLock() for _ in range(self.shards))
        return tuple(ShardLock(lock, every) for lock in every)

    def _place(self, code: int) -> int:
        return code * GOLDEN >> 48 & (self.shards - 1)

    def stats(self) -> ShardedMapStats:
        with self._all_locks():
            sizes = tuple(table.size for table in self._tables)
            contended = sum(cast(ShardLock, lock).contended for lock in self._locks)
            taken = sum(map(sys.getsizeof, self._tables))
        size = sum(sizes)
        imbalance = max(sizes) * len(sizes) / size if size else 1.0
        return ShardedMapStats(size, sizes, imbalance, contended, taken)
