"""TabledMap: chains in dicts, each under its own lock. LockedMap has one dict, ShardedMap has many."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from threadproof import _core
from threadproof.maps.chains import ChainedMap

K = TypeVar("K")
V = TypeVar("V")


class TabledMap(_core.TabledMap[K, V], ChainedMap[K, V]):
    """A map of dicts, each under its own lock; the dicts and locks are native (src/ext/maps/tabled_map.cpp).

    A lock is held for one look at a dict, or for one change: no user code, signal handler or finalizer runs
    under it. Steps on the whole map hold all locks. A forked child takes over the locks that threads of the
    parent held.
    """

    __slots__ = ("__weakref__",)

    shards: ClassVar[int]  # how many dicts: a power of two

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        shards = getattr(cls, "shards", 1)
        if shards < 1 or shards & (shards - 1):
            raise ValueError(f"{cls.__name__}.shards must be a power of two, got {shards}; 64 suits most")
