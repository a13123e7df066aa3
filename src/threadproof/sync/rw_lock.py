"""RWLock, which is native, and its stats."""

from __future__ import annotations

from dataclasses import dataclass, field

from threadproof._core import RWLock, provide
from threadproof.stats import Stats, counter, gauge

__all__ = ["RWLock", "RWLockStats"]


@dataclass(frozen=True, slots=True)
class RWLockStats(Stats):
    """Which threads are inside an RWLock or wait for it, and how often threads entered, waited or gave up."""

    readers: int = field(metadata=gauge("threads", "threads inside, if none of them writes"))
    writing: bool = field(metadata=gauge("boolean", "whether a writer is inside"))
    waiting: int = field(metadata=gauge("threads", "threads that wait to enter"))
    reads: int = field(metadata=counter("entries", "times that a reader entered"))
    writes: int = field(metadata=counter("entries", "times that a writer entered"))
    contended: int = field(metadata=counter("waits", "times that a thread found the lock closed"))
    timeouts: int = field(metadata=counter("timeouts", "times that a thread gave up waiting"))


provide("RWLockStats", RWLockStats)
