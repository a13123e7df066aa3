"""FrozenDict: the entries of a map at one instant, as a dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from threadproof._core import provide

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, so threads may share it: what `snapshot` returns of most maps.

    `dict(snapshot)`, or its `copy()`, is one that can be.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    if not TYPE_CHECKING:  # for mypy a dict has to keep what it can do

        def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
            """TypeError: a snapshot cannot be changed."""
            raise TypeError("a snapshot cannot be changed; change the map, or a copy: dict(snapshot)")

        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse


provide("FrozenDict", FrozenDict)
