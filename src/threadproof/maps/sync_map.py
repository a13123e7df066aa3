"""SyncMap: Go's sync.Map, for keys that are stored once and read for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from threadproof import _core
from threadproof.maps.contract import ConcurrentMap
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats

__all__ = ["DELETED", "SyncMap", "SyncMapStats"]

K = TypeVar("K")
V = TypeVar("V")


class Deleted(Enum):
    """The type of DELETED, which `entries` yields in the place of a value that is gone."""

    DELETED = "deleted"


DELETED: Final = Deleted.DELETED


@dataclass(frozen=True, slots=True)
class SyncMapStats(Stats):
    """The state of a SyncMap's tables. A cell is a key and the place of its value.

    size             keys
    read_hits        reads that the read tables answered, with no lock; with many threads some are lost
    misses           times that a key was looked for in a dirty table, under the mutex
    promotions       dirty tables that became part of a read table
    splits           parts that were too big and became two
    parts            each with a read table, and a dirty one when there are new keys in it
    read_size        cells in read tables, also of deleted keys
    dirty_size       cells in dirty tables, also of deleted keys
    amended          parts that have a dirty table
    tombstones       cells of deleted keys, which keep their keys but not their values
    expunged         cells of deleted keys that were left out of a new read table, since the map was made
    last_promotion   seconds that making the last new read table took, while other writers of new keys waited
    worst_promotion  and the longest
    bytes            of tables and cells, without keys and values
    """

    size: int
    read_hits: int
    misses: int
    promotions: int
    splits: int
    parts: int
    read_size: int
    dirty_size: int
    amended: int
    tombstones: int
    expunged: int
    last_promotion: float
    worst_promotion: float
    bytes: int


class SyncMap(_core.SyncMap[K, V], NativeMap[K, V]):
    """Go's sync.Map: keys that have settled are read, overwritten and deleted with no lock at all.

    It keeps the contract of `ConcurrentMap`, whose methods explain it. Use it where keys are stored once and
    then read, or overwritten, again and again; where new keys keep coming, a HashMap is faster, for here each
    new key is stored under the map's one mutex, and looked for there until it has been missed often enough.

    A part of the map, of up to 256 keys, has a read table that never changes, and a dirty one for its new
    keys. When these have been looked for as many times as there are of them, both become one new read table,
    which costs that thread some microseconds, and others nothing unless they want a new key too. No operation
    takes longer because the map is big.

    Reads wait for nobody, except that to look for a key that has not settled they take the mutex, which is
    held for as long as making a part's new read table takes. User code never runs under it.

    The value of a deleted key is released at once. Its key may stay, for when it comes back, as a tombstone:
    at most as many as there are other keys, and 8 for each part. It goes when a new read table is made.

    `snapshot` copies, in time proportional to the size, while writers go on. `len`, `clear`, `drain` and
    `snapshot` may hold all writers back for some microseconds. Parts never merge: `clear` gives all memory
    back, and deletion all but some hundred bytes a part.

    On free-threaded Python it is turned over to the garbage collector as a HashMap is; see `counted`.
    """

    __slots__ = ("__weakref__",)

    def entries(self) -> Iterator[tuple[K, V | Deleted]]:
        """The entries, and (key, DELETED) for each tombstone, as iteration sees them: for diagnosis."""
        return ((entry[0], entry[1] if len(entry) == 2 else DELETED) for entry in self._all_entries())

    def stats(self) -> SyncMapStats:
        """The state of the tables. Takes the mutex for some nanoseconds, whatever the size."""
        size, hits, misses, promotions, splits, read, dirty, amended, parts, expunged, last, worst, taken = (
            self._stats()
        )
        return SyncMapStats(
            size=size,
            read_hits=hits,
            misses=misses,
            promotions=promotions,
            splits=splits,
            parts=parts,
            read_size=read,
            dirty_size=dirty,
            amended=amended,
            tombstones=max(0, read + dirty - size),
            expunged=expunged,
            last_promotion=last / 1e9,
            worst_promotion=worst / 1e9,
            bytes=taken,
        )


_core.adopt_methods(SyncMap, ConcurrentMap)
