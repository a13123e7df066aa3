"""One lock, many locks, reader-writer locks or none: the designs of maps that docs/maps.md compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from threadproof.bench import isolate, tables
from threadproof.bench.contenders import LOCKED_DICT, SHARDED_DICT, Contender, of_contract
from threadproof.bench.results import Result, Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS
from threadproof.maps import HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap


class LockedMapRW(LockedMap[Any, Any]):
    """Readers hold the lock together."""

    lock = "rw"


class ShardedMapRW(ShardedMap[Any, Any]):
    """The same, with 64 locks."""

    lock = "rw"


LOCKED, LOCKED_RW = of_contract("LockedMap", LockedMap), of_contract("LockedMap, rw", LockedMapRW)
SHARDED, SHARDED_RW = of_contract("ShardedMap", ShardedMap), of_contract("ShardedMap, rw", ShardedMapRW)
WITH_LOCKS = (LOCKED_DICT, SHARDED_DICT, LOCKED, LOCKED_RW, SHARDED, SHARDED_RW)
OTHERS = (
    of_contract("HashMap", HashMap),
    of_contract("SyncMap", SyncMap),
    of_contract("SnapshotMap", SnapshotMap),
)

SIZES = (1_000, 1_000_000)
THREADS = (1, 2, 4)
SHARES = {"read": 0, "99/1": 1, "95/5": 5, "50/50": 50, "write": 100}  # workload -> writes in a hundred
OPERATIONS = 20_000  # of each thread in a sample
EFFORT = Effort(seconds=2, least=20, most=1_000)  # threads that wait for each other differ from run to run


@dataclass(frozen=True)
class Claim:
    """What is said of a design, and the two contenders whose ratio shows whether it holds."""

    text: str
    better: Contender
    than: Contender
    workloads: tuple[str, ...]


CLAIMS = (
    Claim("64 locks against one", SHARDED, LOCKED, ("read", "50/50", "write")),
    Claim("the same, dicts in Python", SHARDED_DICT, LOCKED_DICT, ("read", "50/50", "write")),
    Claim("reader-writer lock against mutex, one lock", LOCKED_RW, LOCKED, ("read", "99/1", "50/50")),
    Claim("reader-writer locks against mutexes, 64 locks", SHARDED_RW, SHARDED, ("read", "99/1", "50/50")),
)


def measure(
    machine: dict[str, object], sizes: Sequence[int], effort: Effort, show: Callable[[str], None]
) -> Result:
    """Every design at the smallest size, and those with locks at every size."""
    rows: list[Row] = []
    for n, threads in product(sizes, THREADS):
        show(f"{n:,} keys, {threads} threads")
        scenario = Scenario(heap=True, n=n, operations=OPERATIONS, threads=threads)
        contenders = (*WITH_LOCKS, *OTHERS) if n == min(sizes) else WITH_LOCKS
        workloads = [WORKLOADS[name] for name in SHARES]
        rows += isolate.measure(isolate.Job(scenario, workloads, contenders, effort, False))
    return Result(machine, rows, [])


def table(result: Result) -> str:
    """A row for each claim and workload: the ratio of the throughputs, by size and number of threads."""
    columns = sorted({(row.scenario.n, row.scenario.threads) for row in result.rows})
    lines = [["", "reads/writes", *(f"{n:,} keys, {threads} thr." for n, threads in columns)]]
    for claim in CLAIMS:
        for place, workload in enumerate(claim.workloads):
            share = SHARES[workload]
            cells = [cell(result, claim, workload, n, threads) for n, threads in columns]
            lines.append(["" if place else claim.text, f"{100 - share}/{share}", *cells])
    return tables.columns(lines)


def sizes_of(result: Result) -> list[int]:
    return sorted({row.scenario.n for row in result.rows})


def cell(result: Result, claim: Claim, workload: str, n: int, threads: int) -> str:
    """The ratio of the throughputs; marked if the machine was busy meanwhile."""
    one = find(result, workload, claim.better.name, n, threads)
    other = find(result, workload, claim.than.name, n, threads)
    if not (one and other):
        return "-"
    value = one.throughput / other.throughput
    noise = "~" if max(one.spread, other.spread) > tables.NOISY else ""
    return f"{noise}{value:.2g}" if value < 10 else f"{noise}{value:.0f}"


def find(result: Result, workload: str, contender: str, n: int, threads: int) -> Row | None:
    """The row of a contender, if it has a time."""
    for row in result.rows:
        where = (row.workload, row.contender, row.scenario.n, row.scenario.threads)
        if where == (workload, contender, n, threads) and not row.lost:
            return row
    return None


def names() -> Iterator[str]:
    return (each.name for each in (*WITH_LOCKS, *OTHERS))
