"""NativeMap: the Python part of the maps with a native core."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Iterator, Mapping, Sequence, ValuesView
from copy import copy as shallow_copy
from types import MappingProxyType
from typing import Any, Final, Self, SupportsIndex, TypeVar, cast

from threadproof import _core
from threadproof.maps.arguments import checked_pairs
from threadproof.maps.contract import ConcurrentMap, Values
from threadproof.maps.frozen import FrozenDict

K = TypeVar("K")
V = TypeVar("V")


class NativeMap(ConcurrentMap[K, V]):
    """A map whose hot methods are native.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, not with
    its last reference: counting references to it would make the threads wait for each other. The class
    method `counted` makes a map without this.
    """

    __slots__ = ()

    def _count_references(self) -> None:
        raise NotImplementedError

    def _iterate_values(self) -> Iterator[V]:
        raise NotImplementedError

    def _store_dict(self, entries: dict[K, V], /) -> None:
        raise NotImplementedError

    def _store_map(self, other: object, /) -> bool:
        raise NotImplementedError

    def _store_pairs(self, pairs: Sequence[tuple[K, V]], /) -> int:
        raise NotImplementedError

    @classmethod
    def counted(cls, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> Self:
        """A map that is freed with its last reference, however many threads use it; see the class."""
        new = cls.__new__(cls)
        new._count_references()
        new.__init__(other, **kwargs)  # type: ignore[misc]
        return new

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        if not self._store_at_once(other):
            super().update(other)
        if kwargs:
            self._store_dict(cast(dict[K, V], kwargs))

    def _store_at_once(self, other: object) -> bool:
        """Store the entries of an object that is read at one instant; False, with nothing done, of others."""
        if isinstance(other, ConcurrentMap):
            if self._store_map(other):
                return True
            other = other.snapshot()
        if type(other) in DICTS:
            self._store_dict(cast(dict[K, V], other))
        elif isinstance(other, dict | MappingProxyType):  # a subclass can have items() of its own
            self._store_listed(list(cast(Mapping[K, V], other).items()))
        elif type(other) is list or type(other) is tuple:
            self._store_listed(cast(list[tuple[K, V]], other))
        else:
            return False
        return True

    def _store_listed(self, pairs: Sequence[tuple[K, V]]) -> None:
        for key, value in checked_pairs(self, pairs, self._store_pairs(pairs)):
            self[key] = value

    def values(self) -> ValuesView[V]:
        return NativeValues(self)

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Any:
        new = cls()
        if type(keys) in LISTED and is_stored_natively(type(new)):  # __new__ can make another object
            listed = list(keys)
            new.set_many(listed, [value] * len(listed))
        else:
            for key in keys:
                new[key] = value
        return new

    def __copy__(self) -> Self:
        """See `copy`."""
        if not is_stored_natively(type(self)):
            return cast(Self, shallow_copy(Reduced(self.__reduce_ex__(4))))
        empty = Reduced((copyreg.__newobj__, (type(self),), self.__getstate__()))  # type: ignore[attr-defined]
        new = cast(Self, shallow_copy(empty))
        new._store_map(self)
        return new

    def __ror__(self, other: Mapping[Any, Any]) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = type(self).__new__(type(self))
        new.update(other)
        new.update(self)
        return new


class NativeValues(Values[V]):
    """A native map's values."""

    __slots__ = ()

    def __iter__(self) -> Iterator[V]:
        return cast(NativeMap[Any, V], self._mapping)._iterate_values()


class Reduced:
    """Its copy is what `__reduce_ex__` has described."""

    __slots__ = ("description",)

    def __init__(self, description: str | tuple[Any, ...]) -> None:
        self.description = description

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> str | tuple[Any, ...]:
        return self.description


def is_stored_natively(cls: type[NativeMap[Any, Any]]) -> bool:
    """Whether entries of a new map may be stored natively: its class has no `__setitem__` of its own."""
    return (
        cls.__setitem__ in NATIVE_SETITEMS
        and cls.__reduce__ is ConcurrentMap.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
    )


NATIVE_SETITEMS: Final = tuple(each.__setitem__ for each in (_core.HashMap, _core.SyncMap, _core.LockedMap))
DICTS: Final = (dict, FrozenDict)
LISTED: Final = (list, tuple, range, dict, set, frozenset)
