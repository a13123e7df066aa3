"""The targets of HashMap, measured: what was aimed at, what came out, and whether that is enough.

A target has a cell for each kind of key and each size that it speaks of; it is met when all of them are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import nan
from typing import Any

from threadproof.bench import isolate, tables
from threadproof.bench.keys import make_keys
from threadproof.bench.passes import Show, in_passes
from threadproof.bench.pauses import WORST_PAUSE, worst_pause
from threadproof.bench.results import Row
from threadproof.bench.rivals import DICT, LOCKED_DICT, SHARDED_DICT, Rival
from threadproof.bench.stage import Effort
from threadproof.bench.workloads import (
    WORKLOADS,
    Scene,
    Workload,
    mixed,
    one_batch,
)

SMALL, LARGE = 1_000, 1_000_000
PAUSE_SIZE = 5_000_000
# A pass of all targets takes two minutes; one of all workloads and rivals on large maps takes four.
PASSES, LARGE_PASSES = 5, 2
# Two threads are measured so many times longer than one: neighbours have to leave two cores alone at once.
PAIR_TIMES = 4


@dataclass(frozen=True)
class Cell:
    """One figure of a target. `at_most` says on which side of the limit it belongs.

    A figure that was lost in noise is NaN, and meets nothing.
    """

    target: str
    label: str
    limit: float
    at_most: bool
    figure: float

    @property
    def met(self) -> bool:
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit


# --- what is measured as rows ---

# As dict and HashMap are compared: values that nobody counts, so that the map is all there is to see.
READ, WRITE = WORKLOADS["read"], replace(WORKLOADS["write"], name="overwrite")
BUILD = replace(WORKLOADS["grow"], name="build", subtract=False)
RESERVE = replace(BUILD, name="reserve, build", body=f"<reserve>\n{BUILD.body}")
SET_MANY = replace(WORKLOADS["set_many"], name="set_many into empty")
GET_MANY = replace(WORKLOADS["get_many"], prepare=one_batch)
COUNT_MANY = replace(WORKLOADS["count_many"], prepare=one_batch)
APART = replace(WRITE, name="overwrite, disjoint keys", distribution="apart")
READ_95 = replace(WORKLOADS["95/5"], prepare=mixed(0.05, "apart"))
READ_50 = replace(WORKLOADS["50/50"], prepare=mixed(0.5, "apart"))
# Where reads and writes are mixed, the loop goes through up to 230 bytes an operation. Those of so many stay
# in a second-level cache; those of 100,000 do not: the empty loop of one thread took 35 ns then, of two 53.
FEW = 4_000

Measure = Callable[..., float]  # from HashMap's row, and dict's unless it is a gain


def time_ratio(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else ours.nanoseconds / dicts.nanoseconds


def times_faster(ours: Row, dicts: Row) -> float:
    return nan if ours.lost or dicts.lost else dicts.nanoseconds / ours.nanoseconds


def gain(ours: Row) -> float:
    return ours.gain or 0.0


@dataclass(frozen=True)
class Claim:
    """A target's part that one workload shows, for several kinds of key."""

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

    def rivals(self, hash_map: Rival) -> tuple[Rival, ...]:
        return (hash_map,) if self.measure is gain else (hash_map, DICT)

    def scenes(self) -> list[Scene]:
        operations = 200_000 if "many" in self.workload.name else 50_000 * self.threads
        if self.workload in (READ_95, READ_50) and self.n == SMALL:
            operations = FEW
        return [
            Scene(kind, self.identical, False, self.n, operations, threads=self.threads, shuffled=False)
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
    hash_map: Rival, others: Sequence[Rival], effort: Effort, quick: bool, show: Show
) -> tuple[list[Cell], list[Row]]:
    """Return the cells of all targets, and the rows of every workload with the others; quick: small maps."""
    cells = without_peers(hash_map, effort, quick, show)
    rows = list(every_workload((hash_map, *others), effort, quick, show))
    return [*cells, *against_peers(hash_map.name, rows)], rows


def without_peers(hash_map: Rival, effort: Effort, quick: bool, show: Show) -> list[Cell]:
    """Return the cells of all targets but the last, which is about other packages."""
    cells = [*claims(hash_map, effort, quick, show), *bulk_builds(hash_map, effort, quick, show)]
    cells += counting(hash_map, effort, quick, show)
    cells += [growing_pause(hash_map, PAUSE_SIZE // 50 if quick else PAUSE_SIZE, show)]
    return [*cells, *memory(hash_map, quick, show)]


def growing_pause(hash_map: Rival, n: int, show: Show) -> Cell:
    show(f"{WORST_PAUSE}, growing to {n:,}")
    pause = worst_pause(hash_map, n, 1)
    if pause.problem:
        raise RuntimeError(f"{hash_map.name}, growing to {n:,}: {pause.problem}")
    return Cell("worst single insert while growing, ms", f"to {n:,}", 0.5, True, pause.value)


def claims(hash_map: Rival, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    by_scene: dict[Scene, list[Claim]] = {}
    for claim in CLAIMS:
        for scene in claim.scenes():
            if not (quick and scene.n > SMALL):
                by_scene.setdefault(scene, []).append(claim)
    jobs = [
        isolate.Job(
            scene,
            [claim.workload for claim in those],
            those[0].rivals(hash_map),
            for_threads(scene.threads, effort),
        )
        for scene, those in by_scene.items()
    ]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for claim in CLAIMS:
        for scene in claim.scenes():
            if scene in by_scene:
                rows = (passes.figures(scene, claim.workload, rival) for rival in claim.rivals(hash_map))
                figure = claim.measure(*rows)
                yield Cell(claim.target, short_label(scene), claim.limit, claim.at_most, figure)


def for_threads(threads: int, effort: Effort) -> Effort:
    return effort if threads == 1 else replace(effort, seconds=PAIR_TIMES * effort.seconds)


def short_label(scene: Scene) -> str:
    return f"{scene.kind}, {'identical' if scene.identical else 'fresh'}, n={scene.n:,}"


def bulk_builds(hash_map: Rival, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    """Whoever knows the size may choose: the better of two ways, each against dict's own."""
    sizes = (SMALL,) if quick else (SMALL, LARGE)
    scenes = [Scene(kind, True, False, n, shuffled=False) for n, kind in product(sizes, BOTH)]
    jobs = [isolate.Job(scene, (RESERVE, SET_MANY), (DICT, hash_map), effort) for scene in scenes]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for scene in scenes:
        ratios = [
            time_ratio(passes.figures(scene, way, hash_map), passes.figures(scene, way, DICT))
            for way in (RESERVE, SET_MANY)
        ]
        yield Cell(BULK, short_label(scene), 1.0, True, min(ratios))


def counting(hash_map: Rival, effort: Effort, quick: bool, show: Show) -> Iterator[Cell]:
    """Counter.update by one thread, against count_many by one and by two who share the map."""
    sizes = (SMALL,) if quick else (SMALL, LARGE)
    workloads = [
        replace(COUNT_MANY, name=f"count_many, {name}", distribution=name) for name in ("uniform", "zipfian")
    ]
    scenes = [Scene(kind, n=n, operations=200_000) for n, kind in product(sizes, BOTH)]
    both = {scene: replace(scene, threads=2) for scene in scenes}
    jobs = [isolate.Job(scene, workloads, (DICT, hash_map), effort) for scene in scenes]
    jobs += [isolate.Job(both[scene], workloads, (hash_map,), for_threads(2, effort)) for scene in scenes]
    passes = in_passes(jobs, 1 if quick else PASSES, show)
    for scene, workload in product(scenes, workloads):
        counter = passes.figures(scene, workload, DICT)
        for limit, crowd in ((5, scene), (10, both[scene])):
            figure = passes.figures(crowd, workload, hash_map).throughput / counter.throughput
            label = f"{scene.kind}, {workload.distribution}, n={scene.n:,}"
            yield Cell(f"{COUNTING}, {crowd.crowd}", label, limit, False, figure)


def memory(hash_map: Rival, quick: bool, show: Show) -> Iterator[Cell]:
    """Bytes of the tables, as they say. Both grow in steps, so of eight sizes within a factor of two."""
    for n in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        show(f"bytes per entry, n={n:,}")
        sizes = [isolate.answer(table_bytes, hash_map, n * step // 8) for step in range(8, 16)]
        ratio = sum(ours for ours, _ in sizes) / sum(dicts for _, dicts in sizes)
        label = f"8 sizes, n={n:,} to {n * 15 // 8:,}"
        yield Cell("bytes of the table, ratio to dict's", label, 1.1, True, ratio)


def table_bytes(hash_map: Rival, n: int) -> tuple[int, int]:
    """The bytes of a HashMap of n keys, and of a dict."""
    keys = make_keys("int", range(n))
    m: Any = hash_map.make()
    d: dict[Any, None] = {}
    for key in keys:
        m[key] = d[key] = None
    return m.stats().bytes, d.__sizeof__()


def every_workload(rivals: Sequence[Rival], effort: Effort, quick: bool, show: Show) -> Iterator[Row]:
    less = replace(effort, seconds=0.1 * effort.seconds, least=1)  # there are many
    for n, count in ((SMALL, 1),) if quick else ((SMALL, PASSES), (LARGE, LARGE_PASSES)):
        scenes = [
            Scene(kind, heap=True, n=n, operations=20_000, threads=threads)
            for threads, kind in product((1, 2), BOTH)
        ]
        jobs = [isolate.Job(scene, list(WORKLOADS.values()), rivals, less) for scene in scenes]
        yield from in_passes(jobs, count, show).all()


def against_peers(name: str, rows: Sequence[Row]) -> Iterator[Cell]:
    """Throughput as a multiple of the best peer's; a plain dict is no peer, for it promises less."""
    for scene, those in tables.by_scene(rows).items():
        workloads, rivals, cells = tables.grid(those)
        peers = [rival for rival in rivals if rival not in (name, DICT.name)]
        for workload in workloads:
            best = max((cells[workload, peer] for peer in peers), key=speed)
            label = f"{workload}: {scene.kind}, n={scene.n:,}, {scene.crowd}; {best.rival}"
            own = cells[workload, name]
            noise = own.lost and not own.problem
            figure = nan if noise else speed(own) / max(speed(best), 1)
            yield Cell("ahead of every peer, ratio to the best", label, 1.0, False, figure)


def speed(row: Row) -> float:
    return 0.0 if row.lost else row.throughput


def others(installed: Sequence[Rival]) -> list[Rival]:
    """Who is measured beside HashMap."""
    return [DICT, LOCKED_DICT, SHARDED_DICT, *installed]


# --- as text, and for programs ---


def from_json(text: str) -> list[Cell]:
    """Read what `to_json` has written."""
    return [Cell(**{key: cell[key] for key in cell if key != "met"}) for cell in json.loads(text)["cells"]]


def to_json(machine: dict[str, Any], cells: Sequence[Cell]) -> str:
    lines = ",\n  ".join(json.dumps(asdict(cell) | {"met": cell.met}) for cell in cells)
    return f'{{"machine": {json.dumps(machine)},\n "cells": [\n  {lines}\n ]}}\n'


def report(cells: Sequence[Cell]) -> str:
    """A table of the targets, then all cells that miss theirs."""
    targets: dict[str, list[Cell]] = {}
    for cell in cells:
        targets.setdefault(cell.target, []).append(cell)
    lines = [["target", "limit", "figures", "worst", "verdict"]]
    lines += [line(name, those) for name, those in targets.items()]
    missed = [cell for cell in cells if not cell.met]
    parts = [tables.columns(lines)]
    if missed:
        parts.append("Missed:\n\n" + "\n".join(f"- {said(cell)}" for cell in missed))
    met = sum(all(cell.met for cell in those) for those in targets.values())
    return "\n\n".join([*parts, f"{met} of {len(targets)} targets met"])


def line(name: str, cells: Sequence[Cell]) -> list[str]:
    limits = " or ".join(dict.fromkeys(limit(cell) for cell in cells))
    figures = " ".join(f"{cell.figure:.2f}" for cell in cells) if len(cells) <= 8 else f"{len(cells)} of them"
    worst = min(
        cells, key=lambda cell: cell.limit / cell.figure if cell.at_most else cell.figure / cell.limit
    )
    missed = sum(not cell.met for cell in cells)
    verdict = f"MISSED in {missed} of {len(cells)}" if missed else "met"
    return [name, limits, figures, f"{worst.figure:.2f} ({worst.label})", verdict]


def limit(cell: Cell) -> str:
    return f"{'<=' if cell.at_most else '>='} {cell.limit:g}"


def said(cell: Cell) -> str:
    return f"{cell.target}: {cell.label}: {cell.figure:.2f}, target {limit(cell)}"
