"""NativeMap: the Python part of the maps with a native core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Self, TypeVar, cast

from threadproof.maps.contract import ConcurrentMap

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
        if isinstance(other, ConcurrentMap):
            other = other.snapshot()
        if isinstance(other, dict | MappingProxyType):  # reading it calls no user code: store all at once
            pairs = list(cast(Mapping[K, V], other).items())
            self.set_many([key for key, _ in pairs], [value for _, value in pairs])
            other = ()
        super().update(other, **kwargs)
