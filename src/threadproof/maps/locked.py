"""LockedMap: a dict and one lock. It is the contract as a program: tests compare every other map with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from threadproof.maps.contract import COMPUTING, OLDEST, age_of
from threadproof.maps.tables import TabledMap
from threadproof.stats import Stats, gauge

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


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
        (size,), hashes, _, taken = self._stats()
        return LockedMapStats(size, hashes, taken, *age_of(self))
