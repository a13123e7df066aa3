"""Maps that any number of threads may share. All keep one contract: see threadproof.maps.contract."""

from threadproof.maps.contract import ConcurrentMap
from threadproof.maps.hash_map import HashMap
from threadproof.maps.locked import LockedMap
from threadproof.maps.sharded import ShardedMap
from threadproof.maps.snapshots import ConflictError, Diff, Snapshot, SnapshotMap, diff
from threadproof.maps.sync_map import DELETED, SyncMap

__all__ = [
    "DELETED",
    "ConcurrentMap",
    "ConflictError",
    "Diff",
    "HashMap",
    "LockedMap",
    "ShardedMap",
    "Snapshot",
    "SnapshotMap",
    "SyncMap",
    "diff",
]
