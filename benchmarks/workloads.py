"""What we measure, as data: workloads, the scenes they run in, and the tables they stand in.

A body is the source of one timed loop over `keys` on the map `m`; `@` stands before each operation, where a
rival with a lock takes it. The lone `k` makes CPython borrow `m` and `k` and not count a reference: the
count of the map itself, which two threads would fight over, is not what these rows are about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from keys import Source, absent, every, nineteen_to_one, one_to_one, own, uniform, zipf

LOOP = "for k in keys:\n    k\n"
MIX = "for reads, w in keys:\n    for k in reads:\n        k\n        @m[k]\n    @m[w] = None\n"


class Start(Enum):
    """The map that a run finds."""

    KEPT = "the same for all runs, with n keys"
    OWN = "the same for all runs of this workload, with n keys at the start"
    EMPTY = "a new one, empty"
    FILLED = "a new one, with n keys"


@dataclass(frozen=True)
class Workload:
    name: str
    body: str
    keys: Callable[[Source, list[Any], int], list[Any]] = uniform
    start: Start = Start.KEPT
    subtract: bool = False  # take off what LOOP costs with nothing in it
    dict_body: str = ""  # where a dict does it in another way
    dict_make: Callable[[], Any] = dict
    value: int | None = None  # of each key at the start
    needs: str = "__getitem__"  # the method that a rival must have to take part


READ = Workload("read", LOOP + "    @m[k]", subtract=True)
OVERWRITE = Workload("overwrite", LOOP + "    @m[k] = None", subtract=True)
GET = Workload("get", LOOP + "    @m.get(k)", subtract=True)
IN = Workload("in", LOOP + "    @k in m", subtract=True)

BUILD = Workload("build", LOOP + "    @m[k] = None", every, Start.EMPTY)
RESERVE = replace(
    BUILD,
    name="reserve, build",
    body="m.reserve(len(keys))\n" + BUILD.body,
    dict_body=BUILD.body,
    needs="reserve",
)
SET_MANY = replace(
    BUILD,
    name="set_many into empty",
    body="m.set_many(keys, [None] * len(keys))",
    dict_body="@m.update(zip(keys, [None] * len(keys)))",
    needs="set_many",
)
DELETE = Workload("delete", LOOP + "    @del m[k]", every, Start.FILLED)

GET_MANY = Workload("get_many", "m.get_many(keys)", dict_body="@[m[k] for k in keys]", needs="get_many")
COUNT_MANY = Workload(
    "count_many",
    "m.count_many(keys)",
    dict_body="@m.update(keys)",
    dict_make=Counter,
    value=0,
    needs="count_many",
)
COUNT_MANY_ZIPF = replace(COUNT_MANY, name="count_many, zipf", keys=zipf)

OVERWRITE_OWN = replace(OVERWRITE, name="overwrite, disjoint keys", keys=own)
READ_95 = Workload("95 % read, 5 % overwrite", MIX, nineteen_to_one)
READ_50 = Workload("50 % read, 50 % overwrite", MIX, one_to_one)
# Its map is no other's: it grows to 50 times what the others hold, and not every map gives the room back.
INSERT_DELETE = Workload(
    "insert, delete", LOOP + "    @m[k] = None\n" + LOOP + "    @del m[k]", absent, Start.OWN
)


@dataclass(frozen=True)
class Scene:
    """One kind of key and one size of map, and the workloads that run on it in turn."""

    kind: str
    identical: bool  # the stored key objects themselves, else equal ones made by the thread that uses them
    n: int
    operations: int
    rounds: int
    workloads: tuple[Workload, ...]
    shuffled: bool = False  # take every key, but in random order

    def label(self, workload: Workload) -> str:
        """Name a row; tables, JSON and --only go by it."""
        kind = f"{self.kind}, shuffled" if self.shuffled else self.kind
        origin = "" if workload.keys is every else ", identical" if self.identical else ", fresh"
        return f"{workload.name}: {kind}{origin}, n={self.n:,}"


@dataclass(frozen=True)
class Table:
    """Scenes printed together; run by the thread that made the maps, or by others: by one, then by two."""

    title: str
    scenes: tuple[Scene, ...]
    two_threads: bool = False


def scenes(
    kinds: str, origins: tuple[bool, ...], n: int, operations: int, rounds: int, *workloads: Workload
) -> tuple[Scene, ...]:
    return tuple(
        Scene(kind, identical, n, operations, rounds, workloads)
        for kind in kinds.split(", ")
        for identical in origins
    )


SMALL, LARGE = 1_000, 1_000_000
IDENTICAL, FRESH = True, False
BOTH = (IDENTICAL, FRESH)
BASIC = (READ, OVERWRITE, GET, IN)
WHOLE = (BUILD, RESERVE, SET_MANY, DELETE)
MANY = (GET_MANY, COUNT_MANY, COUNT_MANY_ZIPF)
SHARED = (READ, OVERWRITE_OWN, READ_95, READ_50, INSERT_DELETE)

TABLES = (
    Table(
        "One thread",
        scenes("int, str", BOTH, SMALL, 50_000, 40, *BASIC)
        + scenes("int, str", BOTH, LARGE, 50_000, 40, *BASIC[:2]),
    ),
    Table("One thread, other keys", scenes("tuple, float, bytes, big int", BOTH, SMALL, 50_000, 40, READ)),
    Table(
        "One thread, every key of a map",
        tuple(
            Scene(kind, IDENTICAL, n, n, rounds, WHOLE, shuffled)
            for n, rounds in ((SMALL, 40), (LARGE, 5))
            for kind, shuffled in (("int", False), ("int", True), ("str", False))
        ),
    ),
    Table(
        "One thread, many keys in one call",
        scenes("int, str", (FRESH,), SMALL, 200_000, 10, *MANY)
        + scenes("int, str", (FRESH,), LARGE, 200_000, 10, *MANY),
    ),
    Table(
        "Two threads",
        scenes("int, str", BOTH, SMALL, 100_000, 20, *SHARED)
        + scenes("int, str", (FRESH,), LARGE, 100_000, 20, *SHARED),
        two_threads=True,
    ),
)
