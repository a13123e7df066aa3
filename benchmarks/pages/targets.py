"""The targets of HashMap, measured: the limit, the value, and whether the target is met.

A target has a cell for each kind of key and each size that it covers; it is met when all its cells are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import nan
from typing import Any

from pages.passes import Show, in_passes
from pages.pauses import WORST_PAUSE, worst_pause
from threadproof.bench import isolate, tables
from threadproof.bench.contenders import DICT, LOCKED_DICT, SHARDED_DICT, Contender
from threadproof.bench.keys import make_keys
from threadproof.bench.results import Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS, Workload, mixed, one_batch

EFFORT = Effort(seconds=0.5, least=3, most=1_000)
SMALL, LARGE = 1_000, 1_000_000
PAUSE_SIZE = 5_000_000
# A pass over all targets takes two minutes; one over all workloads and contenders on large maps takes four.
PASSES, LARGE_PASSES = 5, 2
# Two threads are measured so many times longer than one: both cores must be free of other users at once.
PAIR_TIMES = 4


@dataclass(frozen=True)
class Cell:
    """One value of a target; the limit is a maximum if `at_most`, else a minimum.

    A value that was lost in noise is NaN, and meets no limit.
    """

    target: str
    label: str
    limit: float
    at_most: bool
    value: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


# --- what is measured as rows ---

# For comparing dict and HashMap: immortal values, so that only the map is measured.
READ, WRITE = WORKLOADS["read"], replace(WORKLOADS["write"], name="overwrite")
BUILD = replace(WORKLOADS["grow"], name="build", subtract=False)
RESERVE = replace(BUILD, name="reserve, build", body=f"<reserve>\n{BUILD.body}")
SET_MANY = replace(WORKLOADS["set_many"], name="set_many into empty")
GET_MANY = replace(WORKLOADS["get_many"], prepare=one_batch)
COUNT_MANY = replace(WORKLOADS["count_many"], prepare=one_batch)
APART = replace(WRITE, name="overwrite, disjoint keys", distribution="apart")
READ_95 = replace(WORKLOADS["95/5"], prepare=mixed(0.05, "apart"))
READ_50 = replace(WORKLOADS["50/50"], prepare=mixed(0.5, "apart"))
# Where reads and writes are mixed, the loop reads up to 230 bytes per operation. Those of so many operations
# fit a second-level cache; those of 100,000 do not: the empty loop of one thread took 35 ns then, of two 53.
FEW = 4_000

Measure = Callable[..., float]  # of HashMap's row, and of dict's unless it is a gain


def time_ratio(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else ours.nanoseconds / dicts.nanoseconds


def times_faster(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else dicts.nanoseconds / ours.nanoseconds


def gain(ours: Row) -> float:
    return ours.gain or 0.0


@dataclass(frozen=True)
class Claim:
    """The part of a target that one workload measures, for several kinds of key."""

    target: str
    limit: float
    workload: Workload
    kinds: tuple[str, ...]
    n: int
    identical: bool = False
    threads: int = 1
    measure: Measure = time_ratio

    @property
    def at_most(self) -> bool:
        return self.measure is time_ratio

    def contenders(self, hash_map: Contender) -> tuple[Contender, ...]:
        return (hash_map,) if self.measure is gain else (hash_map, DICT)

    def scenarios(self) -> list[Scenario]:
        operations = 200_000 if "many" in self.workload.name else 50_000 * self.threads
        if self.workload in (READ_95, READ_50) and self.n == SMALL:
            operations = FEW
        return [
            Scenario(kind, self.identical, False, self.n, operations, threads=self.threads, shuffled=False)
            for kind in self.kinds
        ]


READS = "1 thread, read, identical keys"
FRESH = "1 thread, read, fresh keys"
OVERWRITES = "1 thread, overwrite"
OTHER = "1 thread, read of tuple, float, bytes and big int keys"
BUILDS = "1 thread, build from empty"
BULK = "1 thread, build of known size: the best of reserve() and set_many"
COUNTING = "count_many against Counter.update"
BOTH = ("int", "str")

CLAIMS = (
    Claim(READS, 1.10, READ, ("int",), SMALL, identical=True),
    Claim(READS, 0.80, READ, ("str",), SMALL, identical=True),
    Claim(FRESH, 0.65, READ, ("int",), SMALL),
    Claim(FRESH, 0.80, READ, ("str",), SMALL),
    Claim(FRESH, 0.35, READ, ("int",), LARGE),
    Claim(FRESH, 0.60, READ, ("str",), LARGE),
    *(Claim(OVERWRITES, 0.90, WRITE, BOTH, n, same) for n, same in product((SMALL, LARGE), (True, False))),
    *(
        Claim(OTHER, 1.10, READ, ("tuple", "float", "bytes", "big int"), SMALL, same)
        for same in (True, False)
    ),
    *(Claim(BUILDS, 1.5, BUILD, BOTH, n, identical=True) for n in (SMALL, LARGE)),
    *(
        Claim(f"2 threads, gain: {workload.name}", limit, workload, BOTH, n, threads=2, measure=gain)
        for workload, limit in ((READ, 1.9), (APART, 1.8), (READ_95, 1.7), (READ_50, 1.4))
        for n in (SMALL, LARGE)
    ),
    Claim("get_many against a dict loop", 8, GET_MANY, BOTH, LARGE, measure=times_faster),
)


def measure(
    hash_map: Contender, others: Sequence[Contender], effort: Effort, quick: bool, show: Show
) -> tuple[list[Cell], list[Row]]:
    """The cells of all targets, and the rows of every workload with the others; `quick` omits large maps."""
    cells = without_peers(hash_map, effort, quick, show)
    rows = list(every_workload((hash_map, *others), effort, quick, show))
    return [*cells, *against_peers(hash_map.name, rows)], rows


def without_peers(hash_map: Contender, effort: Effort, quick: bool, show: Show) -> list[Cell]:
    """The cells of all targets but the last, which compares with other packages."""
    cells = [*claims(hash_map, effort, quick, show), *bulk_builds(hash_map, effort, quick, show)]
    cells += counting(hash_map, effort, quick, show)
    cells += [growing_pause(hash_map, PAUSE_SIZE // 50 if quick else PAUSE_SIZE, show)]
    return [*cells, *memory(hash_map, quick, show)]


def growing_pause(hash_map: Contender, n: int, show: Show) -> Cell:
    show(f"{WORST_PAUSE}, growing to {n:,}")
    pause = worst_pause(hash_map, n, 1)
    if pause.problem:
        raise RuntimeError(f"{hash_map.name}, growing to {n:,}: {pause.problem}")
    return Cell("worst single insert while growing, ms", f"to {n:,}", 0.5, True, pause.value)


def claims(hash_map: Contender, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    by_scenario: dict[Scenario, list[Claim]] = {}
    for claim in CLAIMS:
        for scenario in claim.scenarios():
            if not (quick and scenario.n > SMALL):
                by_scenario.setdefault(scenario, []).append(claim)
    jobs = [
        isolate.Job(
            scenario,
            [claim.workload for claim in those],
            those[0].contenders(hash_map),
            for_threads(scenario.threads, effort),
        )
        for scenario, those in by_scenario.items()
    ]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for claim in CLAIMS:
        for scenario in claim.scenarios():
            if scenario in by_scenario:
                measured = claim.contenders(hash_map)
                rows = (passes.valid_row(scenario, claim.workload, each) for each in measured)
                value = claim.measure(*rows)
                yield Cell(claim.target, short_label(scenario), claim.limit, claim.at_most, value)


def for_threads(threads: int, effort: Effort) -> Effort:
    return effort if threads == 1 else replace(effort, seconds=PAIR_TIMES * effort.seconds)


def short_label(scenario: Scenario) -> str:
    return f"{scenario.kind}, {'identical' if scenario.identical else 'fresh'}, n={scenario.n:,}"


def bulk_builds(hash_map: Contender, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    """Building with a known size: the better of two ways, each relative to dict's."""
    sizes = (SMALL,) if quick else (SMALL, LARGE)
    scenarios = [Scenario(kind, True, False, n, shuffled=False) for n, kind in product(sizes, BOTH)]
    jobs = [isolate.Job(scenario, (RESERVE, SET_MANY), (DICT, hash_map), effort) for scenario in scenarios]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for scenario in scenarios:
        ratios = [
            time_ratio(passes.valid_row(scenario, way, hash_map), passes.valid_row(scenario, way, DICT))
            for way in (RESERVE, SET_MANY)
        ]
        yield Cell(BULK, short_label(scenario), 1.0, True, min(ratios))


def counting(hash_map: Contender, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    """count_many by one thread, and by two that share the map, relative to Counter.update by one."""
    sizes = (SMALL,) if quick else (SMALL, LARGE)
    workloads = [
        replace(COUNT_MANY, name=f"count_many, {name}", distribution=name) for name in ("uniform", "zipfian")
    ]
    scenarios = [Scenario(kind, n=n, operations=200_000) for n, kind in product(sizes, BOTH)]
    both = {scenario: replace(scenario, threads=2) for scenario in scenarios}
    jobs = [isolate.Job(scenario, workloads, (DICT, hash_map), effort) for scenario in scenarios]
    jobs += [
        isolate.Job(both[scenario], workloads, (hash_map,), for_threads(2, effort)) for scenario in scenarios
    ]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for scenario, workload in product(scenarios, workloads):
        counter = passes.valid_row(scenario, workload, DICT)
        for limit, where in ((5, scenario), (10, both[scenario])):
            value = passes.valid_row(where, workload, hash_map).throughput / counter.throughput
            label = f"{scenario.kind}, {workload.distribution}, n={scenario.n:,}"
            yield Cell(f"{COUNTING}, {where.threads_label}", label, limit, False, value)


def memory(hash_map: Contender, quick: bool, show: Show) -> Iterator[Cell]:
    """Bytes of the tables. Both grow in steps, so the mean of eight sizes within a factor of two counts."""
    for n in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        show(f"bytes per entry, n={n:,}")
        sizes = [isolate.answer(table_bytes, hash_map, n * step // 8) for step in range(8, 16)]
        ratio = sum(ours for ours, _ in sizes) / sum(dicts for _, dicts in sizes)
        label = f"8 sizes, n={n:,} to {n * 15 // 8:,}"
        yield Cell("bytes of the table, ratio to dict's", label, 1.1, True, ratio)


def table_bytes(hash_map: Contender, n: int) -> tuple[int, int]:
    """The bytes of a HashMap of n keys, and of a dict."""
    keys = make_keys("int", range(n))
    m: Any = hash_map.make()
    d: dict[Any, None] = {}
    for key in keys:
        m[key] = d[key] = None
    return m.stats().bytes, d.__sizeof__()


def every_workload(contenders: Sequence[Contender], effort: Effort, quick: bool, show: Show) -> Iterator[Row]:
    less = replace(effort, seconds=0.1 * effort.seconds, least=1)  # there are many
    for n, count in ((SMALL, 1),) if quick else ((SMALL, PASSES), (LARGE, LARGE_PASSES)):
        scenarios = [
            Scenario(kind, heap=True, n=n, operations=20_000, threads=threads)
            for threads, kind in product((1, 2), BOTH)
        ]
        jobs = [isolate.Job(scenario, list(WORKLOADS.values()), contenders, less) for scenario in scenarios]
        yield from in_passes(jobs, count, show).all()


def against_peers(name: str, rows: Sequence[Row]) -> Iterator[Cell]:
    """Throughput as a multiple of the best peer's; a plain dict, which promises less, is no peer."""
    for scenario, those in tables.by_scenario(rows).items():
        workloads, contenders, cells = tables.grid(those)
        peers = [contender for contender in contenders if contender not in (name, DICT.name)]
        for workload in workloads:
            best = max((cells[workload, peer] for peer in peers), key=speed)
            where = f"{scenario.kind}, n={scenario.n:,}, {scenario.threads_label}"
            label = f"{workload}: {where}; {best.contender}"
            own = cells[workload, name]
            noise = own.lost and not own.problem
            value = nan if noise else speed(own) / max(speed(best), 1)
            yield Cell("ahead of every peer, ratio to the best", label, 1.0, False, value)


def speed(row: Row) -> float:
    return 0.0 if row.lost else row.throughput


def others(installed: Sequence[Contender]) -> list[Contender]:
    """The contenders beside HashMap."""
    return [DICT, LOCKED_DICT, SHARDED_DICT, *installed]


# --- text and JSON ---


def from_json(text: str) -> list[Cell]:
    """The cells that `to_json` has written."""
    return [Cell(**{key: cell[key] for key in cell if key != "met"}) for cell in json.loads(text)["cells"]]


def to_json(machine: dict[str, Any], cells: Sequence[Cell]) -> str:
    lines = ",\n  ".join(json.dumps(asdict(cell) | {"met": cell.met}) for cell in cells)
    return f'{{"machine": {json.dumps(machine)},\n "cells": [\n  {lines}\n ]}}\n'


def report(cells: Sequence[Cell]) -> str:
    """A table of the targets, then all cells that miss their limit."""
    targets: dict[str, list[Cell]] = {}
    for cell in cells:
        targets.setdefault(cell.target, []).append(cell)
    lines = [["target", "limit", "values", "worst", "verdict"]]
    lines += [line(name, those) for name, those in targets.items()]
    missed = [cell for cell in cells if not cell.met]
    parts = [tables.columns(lines)]
    if missed:
        parts.append("Missed:\n\n" + "\n".join(f"- {missed_line(cell)}" for cell in missed))
    met = sum(all(cell.met for cell in those) for those in targets.values())
    return "\n\n".join([*parts, f"{met} of {len(targets)} targets met"])


def line(name: str, cells: Sequence[Cell]) -> list[str]:
    limits = " or ".join(dict.fromkeys(limit(cell) for cell in cells))
    values = " ".join(f"{cell.value:.2f}" for cell in cells) if len(cells) <= 8 else f"{len(cells)} of them"
    worst = min(cells, key=lambda cell: cell.limit / cell.value if cell.at_most else cell.value / cell.limit)
    missed = sum(not cell.met for cell in cells)
    verdict = f"MISSED in {missed} of {len(cells)}" if missed else "met"
    return [name, limits, values, f"{worst.value:.2f} ({worst.label})", verdict]


def limit(cell: Cell) -> str:
    return f"{'<=' if cell.at_most else '>='} {cell.limit:g}"


def missed_line(cell: Cell) -> str:
    return f"{cell.target}: {cell.label}: {cell.value:.2f}, target {limit(cell)}"
