"""SyncMap: Go's sync.Map, for keys that are stored once and read many times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

from threadproof import _core
from threadproof.maps.contract import COMPUTING, OLDEST, ConcurrentMap, age_of
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats, counter, duration, gauge

__all__ = ["DELETED", "SyncMap", "SyncMapStats"]

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


class Deleted(Enum):
    """The type of DELETED, which `entries` yields for the value of a deleted key."""

    DELETED = "deleted"


DELETED: Final = Deleted.DELETED


@dataclass(frozen=True, slots=True)
class SyncMapStats(Stats):
    """The state of a SyncMap's tables. A cell is a key and the place of its value."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    read_hits: int = field(metadata=counter("reads", "reads that the read tables answered without a lock"))
    misses: int = field(metadata=counter("lookups", "lookups of a key in a dirty table, under the mutex"))
    promotions: int = field(metadata=counter("promotions", "dirty tables that became part of a read table"))
    splits: int = field(metadata=counter("splits", "parts that were too big and became two"))
    parts: int = field(
        metadata=gauge("parts", "parts, each with a read table, and a dirty one for its new keys")
    )
    read_size: int = field(metadata=gauge("cells", "cells in read tables, also of deleted keys"))
    dirty_size: int = field(metadata=gauge("cells", "cells in dirty tables, also of deleted keys"))
    amended: int = field(metadata=gauge("parts", "parts that have a dirty table"))
    tombstones: int = field(
        metadata=gauge("cells", "cells of deleted keys, which keep their keys, not their values")
    )
    expunged: int = field(
        metadata=counter("cells", "cells of deleted keys that were left out of a new read table")
    )
    last_promotion: float = field(
        metadata=duration("making the last new read table, while other writers of new keys waited")
    )
    worst_promotion: float = field(metadata=duration("making a new read table, the longest time"))
    bytes: int = field(metadata=gauge("bytes", "memory of tables and cells, without keys and values"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class SyncMap(_core.SyncMap[K, V], NativeMap[K, V]):
    """Go's sync.Map: keys that are in a read table are read, overwritten and deleted with no lock.

    It keeps the contract of `ConcurrentMap`, whose methods explain it. Use it for keys that are stored once
    and then read, or overwritten, many times. If new keys keep coming, a HashMap is faster: here each new
    key is stored under the map's one mutex, and looked for there until it goes to a read table.

    A part of the map, of up to 256 keys, has a read table that never changes, and a dirty one for its new
    keys. When these have been looked for as many times as there are of them, both become one new read table.
    That costs one thread some microseconds, and delays other threads only if they want a new key. No
    operation takes longer because the map is big.

    A read never blocks if its key is in a read table. To look for another key it takes the mutex, which is
    held at most as long as a part's new read table takes. User code never runs under the mutex.

    The value of a deleted key is released at once. Its key may stay as a tombstone, for when it comes back:
    at most as many as there are other keys, and 8 for each part. It goes when a new read table is made.

    `snapshot` copies, in time proportional to the size, while writers go on. `len`, `clear`, `drain` and
    `snapshot` may hold all writers back for some microseconds. Parts never merge: `clear` frees all memory,
    and deletion all but some hundred bytes a part.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, as a
    HashMap is; see `counted`.
    """

    __slots__ = ("__weakref__",)

    if TYPE_CHECKING:  # as dict in typeshed: a base class cannot name the class with other parameters

        @overload
        def __init__(self, /) -> None: ...
        @overload
        def __init__(
            self: SyncMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Mapping[K, V], /) -> None: ...
        @overload
        def __init__(
            self: SyncMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Mapping[str, V],
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Iterable[tuple[K, V]], /) -> None: ...
        @overload
        def __init__(
            self: SyncMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Iterable[tuple[str, V]],
            /,
            **kwargs: V,
        ) -> None: ...
        def __init__(self, other: Any = (), /, **kwargs: Any) -> None: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: None = None, /) -> SyncMap[A, Any]: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: B, /) -> SyncMap[A, B]: ...
        @classmethod
        def fromkeys(cls, keys: Any, value: Any = None, /) -> Any: ...
        @overload
        def __or__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __or__(self, other: Mapping[A, B]) -> SyncMap[K | A, V | B]: ...
        def __or__(self, other: Any) -> Any: ...
        @overload
        def __ror__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __ror__(self, other: Mapping[A, B]) -> SyncMap[K | A, V | B]: ...
        def __ror__(self, other: Any) -> Any: ...

    def entries(self) -> Iterator[tuple[K, V | Deleted]]:
        """For diagnosis: the entries, and (key, DELETED) for each tombstone, as iteration sees them."""
        return map(_with_deleted, self._all_entries())

    def stats(self) -> SyncMapStats:
        """The state of the tables. Takes the mutex for some nanoseconds, whatever the size."""
        size, hits, misses, promotions, splits, read, dirty, amended, parts, expunged, last, worst, taken = (
            self._stats()
        )
        return SyncMapStats(
            size=size,
            read_hits=hits,
            misses=misses,
            promotions=promotions,
            splits=splits,
            parts=parts,
            read_size=read,
            dirty_size=dirty,
            amended=amended,
            tombstones=max(0, read + dirty - size),
            expunged=expunged,
            last_promotion=last / 1e9,
            worst_promotion=worst / 1e9,
            bytes=taken,
            computing=(running := age_of(self))[0],
            oldest_computation=running[1],
        )


def _with_deleted(entry: tuple[K, V] | tuple[K]) -> tuple[K, V | Deleted]:
    return (entry[0], entry[1] if len(entry) == 2 else DELETED)


_core.adopt_methods(SyncMap, ConcurrentMap)
