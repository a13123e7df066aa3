"""LockedMap and ShardedMap with reader-writer locks. Classes of a module, so that they can be pickled."""

from __future__ import annotations

from typing import Any

from threadproof.maps import LockedMap, ShardedMap


class LockedMapRW(LockedMap[Any, Any]):
    """Readers hold the lock together."""

    lock = "rw"


class ShardedMapRW(ShardedMap[Any, Any]):
    """The same, with few shards: keys often share one."""

    lock = "rw"
    shards = 4
