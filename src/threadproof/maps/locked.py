"""LockedMap: a hash table and one lock, as many programs have; a base of ShardedMap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar, overload

from threadproof import _core
from threadproof.maps.contract import COMPUTING, OLDEST, ConcurrentMap, age_of
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats, counter, gauge

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")

MOST_SHARDS: Final = 65536  # more locks than any machine has threads; as in ext/maps/locked_map.cpp


@dataclass(frozen=True, slots=True)
class LockedMapStats(Stats):
    """How big a LockedMap is, and how often threads waited for its lock."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    contended: int = field(metadata=counter("waits", "times that a thread found the lock taken"))
    bytes: int = field(metadata=gauge("bytes", "memory of the table, without keys and values"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class StripedMap(_core.LockedMap[K, V], NativeMap[K, V]):
    """Tables with one lock each; the hash of a key chooses one. LockedMap has one table, ShardedMap has many.

    A lock is held while one key is looked up, and its value retained or replaced. No user code runs under a
    lock: if a key's `__eq__` has to be called, the lock is given up, and afterwards taken again. Steps on the
    whole map hold all locks. A forked child takes over the locks that threads of the parent held.
    """

    __slots__ = ()

    shards: ClassVar[int] = 1  # how many tables: a power of two
    lock: ClassVar[Literal["mutex", "rw"]] = "mutex"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not (0 < cls.shards <= MOST_SHARDS and cls.shards.bit_count() == 1):
            raise ValueError(
                f"{cls.__name__}.shards must be a power of two, at most {MOST_SHARDS}, got {cls.shards}; "
                "64 suits most"
            )
        if cls.lock not in ("mutex", "rw"):
            raise ValueError(
                f"{cls.__name__}.lock must be 'mutex', or 'rw' for reader-writer locks, got {cls.lock!r}"
            )


class LockedMap(StripedMap[K, V]):
    """One table and one lock: the map that many programs write, with the contract of `ConcurrentMap`.

    A read takes the lock once; so does a write, and twice for a new key. A subclass may set `lock = "rw"`:
    then the lock is a reader-writer lock, and threads that only read hold it together. A writer that waits
    keeps new readers out. docs/maps.md has measurements of what that is worth.

    Iteration has the order of insertion, as a dict's has. It copies up to 64 entries at a time. `clear` and
    `drain` swap the table for an empty one and take the same time at any size; the calling thread then
    releases the old entries. `snapshot` copies the map while writers wait. So does a write that has to grow
    the table: it takes time proportional to the size.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, as a
    HashMap is; see `counted`.
    """

    __slots__ = ("__weakref__",)

    if TYPE_CHECKING:  # as dict in typeshed: a base class cannot name the class with other parameters

        @overload
        def __init__(self, /) -> None: ...
        @overload
        def __init__(
            self: LockedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Mapping[K, V], /) -> None: ...
        @overload
        def __init__(
            self: LockedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Mapping[str, V],
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Iterable[tuple[K, V]], /) -> None: ...
        @overload
        def __init__(
            self: LockedMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Iterable[tuple[str, V]],
            /,
            **kwargs: V,
        ) -> None: ...
        def __init__(self, other: Any = (), /, **kwargs: Any) -> None: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: None = None, /) -> LockedMap[A, Any]: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: B, /) -> LockedMap[A, B]: ...
        @classmethod
        def fromkeys(cls, keys: Any, value: Any = None, /) -> Any: ...
        @overload
        def __or__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __or__(self, other: Mapping[A, B]) -> LockedMap[K | A, V | B]: ...
        def __or__(self, other: Any) -> Any: ...
        @overload
        def __ror__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __ror__(self, other: Mapping[A, B]) -> LockedMap[K | A, V | B]: ...
        def __ror__(self, other: Any) -> Any: ...

    def stats(self) -> LockedMapStats:
        sizes, contended, taken = self._stats()
        return LockedMapStats(sum(sizes), contended, taken, *age_of(self))


_core.adopt_methods(LockedMap, ConcurrentMap)
