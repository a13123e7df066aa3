"""Building blocks of concurrent structures: atomics, a reader-writer lock, once-functions, and pools."""

from threadproof.sync.atomics import (
    AtomicFlag,
    AtomicFloat,
    AtomicInt,
    AtomicIntArray,
    AtomicReference,
    AtomicStats,
)
from threadproof.sync.once import Lazy, Once, OnceStats, once
from threadproof.sync.pool import Pool, PoolStats, dict_pool
from threadproof.sync.rw_lock import RWLock, RWLockStats

__all__ = [
    "AtomicFlag",
    "AtomicFloat",
    "AtomicInt",
    "AtomicIntArray",
    "AtomicReference",
    "AtomicStats",
    "Lazy",
    "Once",
    "OnceStats",
    "Pool",
    "PoolStats",
    "RWLock",
    "RWLockStats",
    "dict_pool",
    "once",
]
