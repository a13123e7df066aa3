"""ShardedMap: many hash tables, each under its own lock. The simplest map whose threads seldom wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from threadproof import _core
from threadproof.maps.contract import COMPUTING, OLDEST, ConcurrentMap, age_of
from threadproof.maps.locked import StripedMap
from threadproof.stats import Stats, counter, gauge, ratio

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class ShardedMapStats(Stats):
    """How a ShardedMap's entries and its threads are spread over its shards."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    sizes: tuple[int, ...] = field(metadata=gauge("keys", "keys in each shard"))
    imbalance: float = field(
        metadata=ratio("the largest shard's size over the average; 1.0 is even, or empty")
    )
    contended: int = field(metadata=counter("waits", "times that a thread found a shard's lock taken"))
    bytes: int = field(metadata=gauge("bytes", "memory of the tables, without keys and values"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class ShardedMap(StripedMap[K, V]):
    """64 tables, each under its own lock; the hash of a key chooses one.

    Each table is as LockedMap's is, and threads wait for each other only if their keys share a table. `len`,
    `clear`, `drain`, `snapshot` and `stats` hold all tables. The copy that `snapshot` makes takes time
    proportional to the size, and writers wait for it; `clear` and `drain` swap the tables for empty ones.
    Iteration goes through the tables one after the other, each in the order of insertion, and copies up to 64
    entries at a time.

    A subclass may set `shards` to another power of two, and `lock = "rw"` for reader-writer locks.
    """

    __slots__ = ("__weakref__",)

    shards: ClassVar[int] = 64  # far more than threads that run at once, so that two seldom want the same

    if TYPE_CHECKING:  # as dict in typeshed: a base class cannot name the class with other parameters

        @overload
        def __init__(self, /) -> None: ...
        @overload
        def __init__(
            self: ShardedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Mapping[K, V], /) -> None: ...
        @overload
        def __init__(
            self: ShardedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Mapping[str, V],
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Iterable[tuple[K, V]], /) -> None: ...
        @overload
        def __init__(
            self: ShardedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Iterable[tuple[str, V]],
            /,
            **kwargs: V,
        ) -> None: ...
        def __init__(self, other: Any = (), /, **kwargs: Any) -> None: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: None = None, /) -> ShardedMap[A, Any]: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: B, /) -> ShardedMap[A, B]: ...
        @classmethod
        def fromkeys(cls, keys: Any, value: Any = None, /) -> Any: ...
        @overload
        def __or__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __or__(self, other: Mapping[A, B]) -> ShardedMap[K | A, V | B]: ...
        def __or__(self, other: Any) -> Any: ...
        @overload
        def __ror__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __ror__(self, other: Mapping[A, B]) -> ShardedMap[K | A, V | B]: ...
        def __ror__(self, other: Any) -> Any: ...

    def stats(self) -> ShardedMapStats:
        sizes, contended, taken = self._stats()
        size = sum(sizes)
        imbalance = max(sizes) * len(sizes) / size if size else 1.0
        return ShardedMapStats(size, sizes, imbalance, contended, taken, *age_of(self))


_core.adopt_methods(ShardedMap, ConcurrentMap)
