"""HashMap: the native concurrent map, and the right one for most programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from threadproof import _core
from threadproof.maps.contract import COMPUTING, OLDEST, ConcurrentMap, age_of
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats, counter, gauge

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class HashMapStats(Stats):
    """The state of a HashMap's table."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    buckets: int = field(metadata=gauge("buckets", "buckets of five entries, chosen by the hash"))
    capacity: int = field(metadata=gauge("keys", "keys that fit before the table grows"))
    overflow_buckets: int = field(
        metadata=gauge("buckets", "buckets behind full ones, for keys that belong there")
    )
    longest_chain: int = field(
        metadata=gauge(
            "buckets", "a bucket and those behind it, of 1,024; beyond 3, many keys have equal hashes"
        )
    )
    resizes: int = field(metadata=counter("resizes", "resizes begun since the map was made"))
    moved_buckets: int = field(metadata=gauge("buckets", "buckets that the current resize has emptied"))
    resizing: bool = field(metadata=gauge("boolean", "whether a resize is under way"))
    bytes: int = field(metadata=gauge("bytes", "memory of the table, without keys and values"))
    lock_waits: int = field(metadata=counter("waits", "times that a writer found its bucket locked"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class HashMap(_core.HashMap[K, V], NativeMap[K, V]):
    """A concurrent hash map: reads take no lock, writes lock one bucket, and no resize stops other threads.

    It keeps the contract of `ConcurrentMap`, whose methods explain it. Beyond that:

    Reads never block, with one exception: the first read of a value by a thread other than its creator may
    wait once for a writer of the same bucket, some nanoseconds.

    Two keys may share a bucket, and their writers then wait for each other, for some nanoseconds. User code
    (`__eq__`, `fn`, `__del__`), which could make that long, runs with no lock held. If writers keep colliding
    in a small map, it spreads its keys over more buckets: up to 8 a key, and up to half a MiB.

    `snapshot` copies, in time proportional to the size, while writers go on. `len`, `clear`, `drain` and
    `snapshot` may hold all writers back for some microseconds. `clear` and `drain` wait for a running
    snapshot, and then drop or return the entries in time proportional to their number.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, not with
    its last reference: counting references to it would make the threads wait for each other.
    `HashMap.counted()` makes a map without this. A removed str, bytes, float, big int or tuple key may be
    released some time after its removal: by later changes of maps, or by the next collection.
    """

    __slots__ = ("__weakref__",)

    if TYPE_CHECKING:  # as dict in typeshed: a base class cannot name the class with other parameters

        @overload
        def __init__(self, /) -> None: ...
        @overload
        def __init__(
            self: HashMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Mapping[K, V], /) -> None: ...
        @overload
        def __init__(
            self: HashMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Mapping[str, V],
            /,
            **kwargs: V,
        ) -> None: ...
        @overload
        def __init__(self, other: Iterable[tuple[K, V]], /) -> None: ...
        @overload
        def __init__(
            self: HashMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
            other: Iterable[tuple[str, V]],
            /,
            **kwargs: V,
        ) -> None: ...
        def __init__(self, other: Any = (), /, **kwargs: Any) -> None: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: None = None, /) -> HashMap[A, Any]: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: B, /) -> HashMap[A, B]: ...
        @classmethod
        def fromkeys(cls, keys: Any, value: Any = None, /) -> Any: ...
        @overload
        def __or__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __or__(self, other: Mapping[A, B]) -> HashMap[K | A, V | B]: ...
        def __or__(self, other: Any) -> Any: ...
        @overload
        def __ror__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __ror__(self, other: Mapping[A, B]) -> HashMap[K | A, V | B]: ...
        def __ror__(self, other: Any) -> Any: ...

    def stats(self) -> HashMapStats:
        """The state of the table. Reads at most 1,024 of its buckets, however large it is."""
        return HashMapStats(*self._stats(), *age_of(self))


_core.adopt_methods(HashMap, ConcurrentMap)
