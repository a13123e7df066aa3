"""Concurrent maps for threaded Python, and the tools that prove a threaded program right."""

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


def __getattr__(name: str) -> str:
    """`__version__`, when it is asked for: finding the metadata takes longer than importing the package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    globals()[name] = found = version(__name__)
    return found
