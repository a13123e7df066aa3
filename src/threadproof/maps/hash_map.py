"""HashMap: the native concurrent map, and the right one for most programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from threadproof import _core
from threadproof.maps.contract import ConcurrentMap
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats, counter, gauge

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class HashMapStats(Stats):
    """The state of a HashMap's table."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    buckets: int = field(metadata=gauge("buckets", "buckets of five entries, chosen by the hash"))
    capacity: int = field(metadata=gauge("keys", "keys that fit before the table grows"))
    overflow_buckets: int = field(
        metadata=gauge("buckets", "buckets behind full ones, for keys that belong there")
    )
    longest_chain: int = field(
        metadata=gauge(
            "buckets", "a bucket and those behind it, of 1,024; beyond 3, many keys have equal hashes"
        )
    )
    resizes: int = field(metadata=counter("resizes", "resizes begun since the map was made"))
    moved_buckets: int = field(metadata=gauge("buckets", "buckets that the current resize has emptied"))
    resizing: bool = field(metadata=gauge("boolean", "whether a resize is under way"))
    bytes: int = field(metadata=gauge("bytes", "memory of the table, without keys and values"))
    lock_waits: int = field(metadata=counter("waits", "times that a writer found its bucket locked"))


class HashMap(_core.HashMap[K, V], NativeMap[K, V]):
    """A concurrent hash map: reads take no lock, writes lock one bucket, and no resize stops other threads.

    It keeps the contract of `ConcurrentMap`, whose methods explain it. Beyond that:

    Reads never block, with one exception: the first read of a value by a thread other than its creator may
    wait once for a writer of the same bucket, some nanoseconds.

    Two keys may share a bucket, and their writers then wait for each other, for some nanoseconds. User code
    (`__eq__`, `fn`, `__del__`), which could make that long, runs with no lock held. If writers keep colliding
    in a small map, it spreads its keys over more buckets: up to 8 a key, and up to half a MiB.

    `snapshot` copies, in time proportional to the size, while writers go on. `len`, `clear`, `drain` and
    `snapshot` may hold all writers back for some microseconds. `clear` and `drain` wait for a running
    snapshot, and then drop or return the entries in time proportional to their number.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, not with
    its last reference: counting references to it would make the threads wait for each other.
    `HashMap.counted()` makes a map without this. A removed str, bytes, float, big int or tuple key may be
    released some time after its removal: by later changes of maps, or by the next collection.
    """

    __slots__ = ("__weakref__",)

    def stats(self) -> HashMapStats:
        """The state of the table. Reads at most 1,024 of its buckets, however large it is."""
        return HashMapStats(*self._stats())


_core.adopt_methods(HashMap, ConcurrentMap)
