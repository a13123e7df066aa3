"""NativeMap: what maps with a native core share in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Self, TypeVar, cast

from threadproof.maps.contract import ConcurrentMap

K = TypeVar("K")
V = TypeVar("V")


class NativeMap(ConcurrentMap[K, V]):
    """A map whose hot methods are native; `update` goes to them in one call where nothing has to be asked.

    On free-threaded Python the first access from a second thread turns the map over to the garbage collector:
    from then on it dies at a collection, not with its last reference, because counting references to it would
    be what the threads wait for. The class method `counted` makes a map that does not do this.
    """

    __slots__ = ()

    def _count_references(self) -> None:
        raise NotImplementedError

    @classmethod
    def counted(cls, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> Self:
        """A map whose references are counted always, so that it dies with the last; see the class."""
        new = cls.__new__(cls)
        new._count_references()
        new.__init__(other, **kwargs)  # type: ignore[misc]
        return new

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        if isinstance(other, ConcurrentMap):
            other = other.snapshot()
        if isinstance(other, dict | MappingProxyType):  # what needs no asking goes in one call
            pairs = list(cast(Mapping[K, V], other).items())
            self.set_many([key for key, _ in pairs], [value for _, value in pairs])
            other = ()
        super().update(other, **kwargs)
