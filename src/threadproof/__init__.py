"""Concurrent maps for threaded Python, and the tools that prove a threaded program right."""

from importlib.metadata import version

from threadproof._core import REMOVE, DeadlockError
from threadproof.maps import ConcurrentMap, HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap

__all__ = [
    "REMOVE",
    "ConcurrentMap",
    "DeadlockError",
    "HashMap",
    "LockedMap",
    "ShardedMap",
    "SnapshotMap",
    "SyncMap",
]
__version__ = version("threadproof")
