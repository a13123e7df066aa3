"""Maps that any number of threads may share. All keep the contract of threadproof.maps.contract."""

from threadproof.maps.cache import Cache, CacheStats, PolicyView
from threadproof.maps.contract import Computation, ConcurrentMap, FrozenDict
from threadproof.maps.function_cache import CachedFunction, CacheInfo, cached
from threadproof.maps.hash_map import HashMap, HashMapStats
from threadproof.maps.locked import LockedMap, LockedMapStats
from threadproof.maps.sharded import ShardedMap, ShardedMapStats
from threadproof.maps.snapshots import ConflictError, Diff, Snapshot, SnapshotMap, SnapshotMapStats, diff
from threadproof.maps.sync_map import DELETED, SyncMap, SyncMapStats

__all__ = [
    "DELETED",
    "Cache",
    "CacheInfo",
    "CacheStats",
    "CachedFunction",
    "Computation",
    "ConcurrentMap",
    "ConflictError",
    "Diff",
    "FrozenDict",
    "HashMap",
    "HashMapStats",
    "LockedMap",
    "LockedMapStats",
    "PolicyView",
    "ShardedMap",
    "ShardedMapStats",
    "Snapshot",
    "SnapshotMap",
    "SnapshotMapStats",
    "SyncMap",
    "SyncMapStats",
    "cached",
    "diff",
]
