"""One lock, many locks, reader-writer locks or none: the designs of maps that docs/maps.md compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from threadproof.bench import isolate, tables
from threadproof.bench.contenders import LOCKED_DICT, SHARDED_DICT, Contender, of_contract
from threadproof.bench.plan import Step
from threadproof.bench.results import Result, Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.targets import LARGE, SMALL
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

SIZES = (SMALL, LARGE)
THREADS = (1, 2, 4)
SHARES = {"read": 0, "99/1": 1, "95/5": 5, "50/50": 50, "write": 100}  # workload -> writes in a hundred
OPERATIONS = 20_000  # of each thread in a sample, as in the scenarios of every workload
EFFORT = Effort(seconds=0.6, least=10, most=1_000)  # threads that wait for each other differ from run to run
PASSES = 2


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


def steps(trial: bool) -> list[Step]:
    """Every design on small maps, those with locks on large ones, too; for benchmarks/measure.py."""
    workloads = [WORKLOADS[name] for name in SHARES]
    sizes, effort, passes = ((SMALL,), Effort(0, 1, 1), 1) if trial else (SIZES, EFFORT, PASSES)
    return [
        Step(isolate.Job(scenario(n, threads), workloads, contenders(n), effort, gains=False), passes)
        for n, threads in product(sizes, THREADS)
    ]


def contenders(n: int) -> tuple[Contender, ...]:
    return (*WITH_LOCKS, *OTHERS) if n == SMALL else WITH_LOCKS


def scenario(n: int, threads: int) -> Scenario:
    return Scenario(heap=True, n=n, operations=OPERATIONS, threads=threads)


def sections(result: Result) -> dict[str, str]:
    """The part of docs/maps.md, by the name of its markers."""
    return {"designs": table(result)}


def table(result: Result) -> str:
    """A row for each claim and workload: the ratio of the throughputs, by size and number of threads."""
    columns = [(n, threads) for n, threads in product(SIZES, THREADS) if was_measured(result, n, threads)]
    lines = [["", "reads/writes", *(f"{n:,} keys, {threads} thr." for n, threads in columns)]]
    for claim in CLAIMS:
        for place, workload in enumerate(claim.workloads):
            share = SHARES[workload]
            cells = [cell(result, claim, workload, n, threads) for n, threads in columns]
            lines.append(["" if place else claim.text, f"{100 - share}/{share}", *cells])
    return tables.columns(lines)


def was_measured(result: Result, n: int, threads: int) -> bool:
    return any(find(result, "read", each, n, threads) for each in names())


def cell(result: Result, claim: Claim, workload: str, n: int, threads: int) -> str:
    """The ratio of the usual throughputs."""
    one = find(result, workload, claim.better.name, n, threads)
    other = find(result, workload, claim.than.name, n, threads)
    if not (one and other):
        return "-"
    value = usual_throughput(one) / usual_throughput(other)
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def usual_throughput(row: Row) -> float:
    """Operations per second of all threads in the median sample.

    The fastest sample, which all other pages show, is one in which the threads happened to wait little for
    each other, and waiting is the subject here.
    """
    return row.scenario.threads * 1e9 / row.median


def find(result: Result, workload: str, contender: str, n: int, threads: int) -> Row | None:
    """The row of a contender, if it has a time."""
    for row in result.rows:
        measured = (row.scenario, row.workload, row.contender)
        if measured == (scenario(n, threads), workload, contender) and not row.lost:
            return row
    return None


def names() -> Iterator[str]:
    return (each.name for each in (*WITH_LOCKS, *OTHERS))
