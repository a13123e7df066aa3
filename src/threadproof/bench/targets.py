"""The targets of HashMap: what is measured for them, and from stored results, which of them are met.

A target has a cell for each kind of key and each size that it covers; it is met when all its cells are.
Every cell comes from rows and measurements of one Result, so that a page shows the figure that was judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import nan
from typing import Any

from threadproof.bench import tables
from threadproof.bench.contenders import DICT, LOCKED_DICT, PACKAGES, SHARDED_DICT
from threadproof.bench.results import Result, Row
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS, Workload, mixed, one_batch

OURS = "HashMap"
SMALL, LARGE = 1_000, 1_000_000
PAUSE_SIZE = 5_000_000
GROWING = "worst single insert while growing, ms"
TABLE_BYTES = "bytes of the table, ratio to dict's"


@dataclass(frozen=True)
class Cell:
    """One value of a target; the limit is a maximum if `at_most`, else a minimum.

    A value that was lost in noise is NaN, and meets no limit. `noisy`: one of its rows had a median a quarter
    or more above its minimum, so the machine was busy.
    """

    target: str
    label: str
    limit: float
    at_most: bool
    value: float
    noisy: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        return f"{'~' if self.noisy else ''}{self.value:.2f}"


# --- workloads that compare dict and HashMap: immortal values, so that only the map is measured ---

READ, WRITE = WORKLOADS["read"], replace(WORKLOADS["write"], name="overwrite")
BUILD = replace(WORKLOADS["grow"], name="build", subtract=False)
RESERVE = replace(BUILD, name="reserve, build", body=f"<reserve>\n{BUILD.body}")
SET_MANY = replace(WORKLOADS["set_many"], name="set_many into empty")
DELETE, CHURN = WORKLOADS["mass delete"], WORKLOADS["churn"]
GET_MANY = replace(WORKLOADS["get_many"], prepare=one_batch)
COUNT_MANY = replace(WORKLOADS["count_many"], prepare=one_batch)
COUNTINGS = tuple(
    replace(COUNT_MANY, name=f"count_many, {name}", distribution=name) for name in ("uniform", "zipfian")
)
APART = replace(WRITE, name="overwrite, disjoint keys", distribution="apart")
READ_95 = replace(WORKLOADS["95/5"], prepare=mixed(0.05, "apart"))
READ_50 = replace(WORKLOADS["50/50"], prepare=mixed(0.5, "apart"))
# Where reads and writes are mixed, the loop reads up to 230 bytes per operation. Those of so many operations
# fit a second-level cache; those of 100,000 do not: the empty loop of one thread took 35 ns then, of two 53.
FEW = 4_000

# --- claims about one row of HashMap, and of dict ---

Measure = Callable[[Row, Row], float]  # of HashMap's row and of dict's


def time_ratio(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else ours.nanoseconds / dicts.nanoseconds


def times_faster(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else dicts.nanoseconds / ours.nanoseconds


def gain(ours: Row, dicts: Row) -> float:
    return ours.gain or 0.0


@dataclass(frozen=True)
class Claim:
    """The part of a target that one workload measures, for several kinds of key.

    Without a target it is measured because a page shows it.
    """

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
KNOWN = "1 thread, build of known size: the best of reserve() and set_many"
COUNTING = "count_many against Counter.update"
SHOWN = ""
BOTH = ("int", "str")
SIZES = (SMALL, LARGE)

CLAIMS = (
    Claim(READS, 1.10, READ, ("int",), SMALL, identical=True),
    Claim(READS, 0.80, READ, ("str",), SMALL, identical=True),
    Claim(FRESH, 0.65, READ, ("int",), SMALL),
    Claim(FRESH, 0.80, READ, ("str",), SMALL),
    Claim(FRESH, 0.35, READ, ("int",), LARGE),
    Claim(FRESH, 0.60, READ, ("str",), LARGE),
    Claim(SHOWN, nan, READ, BOTH, LARGE, identical=True),
    *(Claim(OVERWRITES, 0.90, WRITE, BOTH, n, same) for n, same in product(SIZES, (True, False))),
    *(
        Claim(OTHER, 1.10, READ, ("tuple", "float", "bytes", "big int"), SMALL, same)
        for same in (True, False)
    ),
    *(Claim(BUILDS, 1.3, BUILD, BOTH, n, identical=True) for n in SIZES),
    *(Claim("1 thread, churn", 1.3, CHURN, BOTH, n, identical=True) for n in SIZES),
    *(Claim("1 thread, mass delete", 1.3, DELETE, BOTH, n, identical=True) for n in SIZES),
    *(
        Claim(f"2 threads, gain: {workload.name}", limit, workload, BOTH, n, threads=2, measure=gain)
        for workload, limit in ((READ, 1.9), (APART, 1.8), (READ_95, 1.7), (READ_50, 1.4))
        for n in SIZES
    ),
    *(
        Claim(SHOWN, nan, workload, ("int",), SMALL, identical=True, threads=2, measure=gain)
        for workload in (READ, APART)
    ),
    *(Claim(SHOWN, nan, CHURN, BOTH, n, threads=2, measure=gain) for n in SIZES),
    Claim("get_many against a dict loop", 8, GET_MANY, BOTH, LARGE, measure=times_faster),
)

# Workloads that several claims share, with the scenarios in which they run.
KNOWN_SIZES = [Scenario(kind, True, False, n, shuffled=False) for n, kind in product(SIZES, BOTH)]
COUNTED = [Scenario(kind, n=n, operations=200_000) for n, kind in product(SIZES, BOTH)]
EVERY_WORKLOAD = [
    Scenario(kind, heap=True, n=n, operations=20_000, threads=threads)
    for n, threads, kind in product(SIZES, (1, 2), BOTH)
]

# --- claims about all peers: the packages that people use instead, and dicts with locks ---

PEERS = {LOCKED_DICT.name, SHARDED_DICT.name, *PACKAGES}
MOST_LOST, LEAST_OF_A_PEER = 12, 0.85
AHEAD = "2 threads, against the best peer"


# --- judging ---


class Rows:
    """The rows of a result, by scenario, workload and contender."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {(row.scenario, row.workload, row.contender): row for row in rows}

    def find(self, scenario: Scenario, workload: Workload, contender: str) -> Row | None:
        """The row, or None if it was not measured; RuntimeError if it has a problem."""
        row = self.rows.get((scenario, workload.name, contender))
        if row is not None and row.problem:
            raise RuntimeError(f"{row.contender}, {row.workload}: {row.problem}")
        return row

    def pair(self, scenario: Scenario, workload: Workload) -> tuple[Row, Row] | None:
        """HashMap's row and dict's, if both were measured."""
        ours, dicts = (self.find(scenario, workload, name) for name in (OURS, DICT.name))
        return (ours, dicts) if ours and dicts else None


def judge(result: Result) -> list[Cell]:
    """The cells of all targets that the result has rows or measurements for."""
    rows = Rows(result.rows)
    cells = [*claims(rows), *known_sizes(rows), *countings(rows)]
    for each in result.measurements:
        if each.what == GROWING:
            cells.append(Cell(GROWING, f"to {each.n:,}", 0.5, True, each.value))
        if each.what == TABLE_BYTES:
            label = f"8 sizes, n={each.n:,} to {each.n * 15 // 8:,}"
            cells.append(Cell(TABLE_BYTES, label, 1.1, True, each.value))
    return [*cells, *against_peers(result.rows)]


def claims(rows: Rows) -> Iterator[Cell]:
    for claim in CLAIMS:
        for scenario in claim.scenarios() if claim.target else ():
            if pair := rows.pair(scenario, claim.workload):
                label, value = short_label(scenario), claim.measure(*pair)
                judged = pair[:1] if claim.measure is gain else pair
                yield Cell(claim.target, label, claim.limit, claim.at_most, value, noisy(*judged))


def noisy(*rows: Row) -> bool:
    return any(row.spread > tables.NOISY for row in rows if not row.lost)


def short_label(scenario: Scenario) -> str:
    return f"{scenario.kind}, {'identical' if scenario.identical else 'fresh'}, n={scenario.n:,}"


def known_sizes(rows: Rows) -> Iterator[Cell]:
    """Building with a known size: the better of two ways, each relative to dict's."""
    for scenario in KNOWN_SIZES:
        pairs = [pair for way in (RESERVE, SET_MANY) if (pair := rows.pair(scenario, way))]
        if pairs:
            value, pair = min(((time_ratio(*pair), pair) for pair in pairs), key=lambda each: each[0])
            yield Cell(KNOWN, short_label(scenario), 0.9, True, value, noisy(*pair))


def countings(rows: Rows) -> Iterator[Cell]:
    """count_many by one thread, and by two that share the map, relative to Counter.update by one."""
    for scenario, workload in product(COUNTED, COUNTINGS):
        counter = rows.find(scenario, workload, DICT.name)
        for limit, threads in ((5, 1), (10, 2)):
            where = replace(scenario, threads=threads)
            ours = rows.find(where, workload, OURS)
            if ours and counter:
                lost = ours.lost or counter.lost
                value = nan if lost else ours.throughput / counter.throughput
                label = f"{scenario.kind}, {workload.distribution}, n={scenario.n:,}"
                target = f"{COUNTING}, {where.threads_label}"
                yield Cell(target, label, limit, False, value, noisy(ours, counter))


def against_peers(rows: Sequence[Row]) -> Iterator[Cell]:
    """Throughput as a multiple of the best peer's; a plain dict, which promises less, is no peer."""
    cells = list(peer_cells([row for row in rows if row.scenario in EVERY_WORKLOAD]))
    if not cells:
        return
    for cell in cells:
        if cell.label.startswith(("churn:", "mass delete:")) and "2 threads" in cell.label:
            yield replace(cell, target=f"{AHEAD}: churn and mass delete", limit=1.0)
        if cell.label.startswith(("hot counter:", "counters:")) and "2 threads" in cell.label:
            yield replace(cell, target=f"{AHEAD}: add on one key, add on zipfian keys", limit=1.0)
    lost = sum(cell.value < 1 for cell in cells)
    yield Cell("cells in which a peer is ahead", f"of {len(cells)}", MOST_LOST, True, lost)
    yield from cells


def peer_cells(rows: Sequence[Row]) -> Iterator[Cell]:
    for scenario, those in tables.by_scenario(rows).items():
        workloads, contenders, grid = tables.grid(those)
        peers = [contender for contender in contenders if contender in PEERS]
        for workload in workloads:
            best = max((grid[workload, peer] for peer in peers if (workload, peer) in grid), key=speed)
            where = f"{scenario.kind}, n={scenario.n:,}, {scenario.threads_label}"
            own = grid[workload, OURS]
            lost_in_noise = own.lost and not own.problem
            value = nan if lost_in_noise else speed(own) / max(speed(best), 1)
            label = f"{workload}: {where}; {best.contender}"
            target = "throughput as a multiple of the best peer's, each cell"
            yield Cell(target, label, LEAST_OF_A_PEER, False, value, noisy(own, best))


def speed(row: Row) -> float:
    return 0.0 if row.lost else row.throughput


# --- text and JSON ---


def from_json(text: str) -> list[Cell]:
    """The cells that `to_json` has written."""
    return [Cell(**{key: cell[key] for key in cell if key != "met"}) for cell in json.loads(text)["cells"]]


def to_json(machine: dict[str, Any], cells: Sequence[Cell]) -> str:
    lines = ",\n  ".join(json.dumps(asdict(cell) | {"met": cell.met}) for cell in cells)
    return f'{{"machine": {json.dumps(machine)},\n "cells": [\n  {lines}\n ]}}\n'


def by_target(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    targets: dict[str, list[Cell]] = {}
    for cell in cells:
        targets.setdefault(cell.target, []).append(cell)
    return targets


def report(cells: Sequence[Cell]) -> str:
    """A table of the targets, then all cells that miss their limit."""
    targets = by_target(cells)
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
    values = " ".join(map(str, cells)) if len(cells) <= 8 else f"{len(cells)} of them"
    worst = min(cells, key=lambda cell: cell.limit / cell.value if cell.at_most else cell.value / cell.limit)
    return [name, limits, values, f"{worst} ({worst.label})", verdict(cells)]


def verdict(cells: Sequence[Cell]) -> str:
    missed = [cell for cell in cells if not cell.met]
    if not missed:
        return "met"
    noise = f", {sum(cell.noisy for cell in missed)} of them noisy" if any(c.noisy for c in missed) else ""
    return f"MISSED in {len(missed)} of {len(cells)}{noise}"


def limit(cell: Cell) -> str:
    return f"{'<=' if cell.at_most else '>='} {cell.limit:g}"


def missed_line(cell: Cell) -> str:
    return f"{cell.target}: {cell.label}: {cell}, target {limit(cell)}"
