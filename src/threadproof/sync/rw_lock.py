"""RWLock is native; here is what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from threadproof._core import RWLock
from threadproof.stats import Stats

__all__ = ["RWLock", "RWLockStats"]


@dataclass(frozen=True, slots=True)
class RWLockStats(Stats):
    """Who is inside an RWLock and who waits; and how often threads entered, had to wait, or gave up."""

    readers: int  # threads inside, if none of them writes
    writing: bool
    waiting: int  # threads
    reads: int  # times a thread entered, as all that follow
    writes: int
    contended: int  # it found the lock closed, and waited or gave up
    timeouts: int
