"""What of the standard library, and of threadproof itself, orders threads: the edges of happens-before.

One file for each of its parts; each says in a `patch` which calls tell the detector what. Locks, SimpleQueue
and the atomics are C methods, and stand in the table of race/patch.py.
"""

from __future__ import annotations

from threadproof.race.edges import futures, lifetimes, loops, ours, queues, signals
from threadproof.race.patch import Patches

# From the start: a program may bind a method, as Timer(1, event.set) does, before its first thread starts.
EARLY = (signals, queues, futures, lifetimes)
# From the first thread on, for until then they would only cost.
LATE = (loops, ours)


def patch_early(patches: Patches) -> None:
    """Have classes of the library tell the detector, until patches.restore()."""
    for part in EARLY:
        part.patch(patches)


def patch_late(patches: Patches) -> None:
    for part in LATE:
        part.patch(patches)
