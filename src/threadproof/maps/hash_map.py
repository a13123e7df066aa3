"""HashMap: the native concurrent map, and the one to use unless you know why another is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from threadproof import _core
from threadproof.maps.contract import ConcurrentMap
from threadproof.stats import Stats

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class HashMapStats(Stats):
    """The state of a HashMap's table. Counts are of buckets, of five entries each, unless they say otherwise."""

    size: int  # keys
    buckets: int
    overflow_buckets: int  # behind a full bucket, for keys that share it
    longest_chain: int  # of a bucket and those behind it, in a sample of 1,024; beyond 3: keys with equal hashes
    resizes: int  # begun, since the map was made
    moved_buckets: int  # of the table that a running resize empties
    resizing: bool
    bytes: int  # of the table, without keys and values
    retired_bytes: int  # of tables of all maps that wait for their last reader
    lock_waits: int  # times a writer found its bucket locked

    @property
    def capacity(self) -> int:
        """How many keys fit before the table grows."""
        return 4 * self.buckets


class HashMap(_core.HashMap[K, V], ConcurrentMap[K, V]):
    """A concurrent hash map: reads take no lock, writes lock one bucket, and growing or shrinking stops nobody.

    It keeps the contract of `ConcurrentMap`, whose methods explain it. Beyond that:

    Reads wait for nobody, with one exception: the first read of a value by another thread than the one that
    made it may wait for a writer of the same bucket, some nanoseconds, once.

    Two keys may share a bucket, and their writers wait for each other for some nanoseconds. What user code can
    prolong (`__eq__`, `fn`, `__del__`) runs with no lock held.

    `snapshot` copies, in time proportional to the size, while writers go on. `len`, `clear`, `drain` and
    `snapshot` may hold all writers back for some microseconds. `clear` and `drain` wait for a running
    snapshot, and then drop or return the entries in time proportional to their number.

    On free-threaded Python the first access from a second thread turns the map over to the garbage collector:
    from then on it dies at a collection, not with its last reference, because counting references to it would
    be what the threads wait for. `HashMap.counted()` makes a map that does not do this. A removed str, bytes,
    float or big int key may be released a little later than removed, by then or by the next collection.
    """

    __slots__ = ("__weakref__",)

    @classmethod
    def counted(cls, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> Self:
        """A map whose references are counted always, so that it dies with the last; see the class."""
        new = cls.__new__(cls)
        new._count_references()
        new.__init__(other, **kwargs)  # type: ignore[misc]
        return new

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        if isinstance(other, ConcurrentMap):
            other = other.snapshot()
        if isinstance(other, Mapping) and type(other).items is dict.items:
            pairs = list(other.items())
            self.set_many([key for key, _ in pairs], [value for _, value in pairs])
            super().update(**kwargs)
        else:
            super().update(other, **kwargs)

    def stats(self) -> HashMapStats:
        """The state of the table; takes about a microsecond, and ten more when the table is large."""
        return HashMapStats(*self._stats())


_core.adopt_methods(HashMap, ConcurrentMap)
