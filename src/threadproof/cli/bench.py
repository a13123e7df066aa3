"""`threadproof bench`: measure maps against dict, against dict with a lock, and against other packages' maps.

A cell is `ns ratio`: ns of one operation in one thread, the loop taken off, and how many times as much as
dict + Lock gets done in the same run; more is better. `~` marks a cell whose median was a quarter or more
above its minimum. Every answer is checked; a wrong one voids the cell, and the exit code is 1.

`threadproof bench targets` measures what HashMap is meant to reach, and says whether it does; if not, the
exit code is 3.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import threadproof.maps
from threadproof.bench import isolate, latency, plot, results, rivals, scaling, tables, targets, traces
from threadproof.bench.keys import DISTRIBUTIONS, KINDS
from threadproof.bench.rivals import Rival
from threadproof.bench.stage import Effort
from threadproof.bench.workloads import WORKLOADS, Scene, Workload
from threadproof.cli import UsageError
from threadproof.cli.progress import Progress
from threadproof.maps import ConcurrentMap, HashMap

WRONG_ANSWER, TARGET_MISSED = 1, 3
TARGETS = "targets"
COPYING = ("LockedMap", "ShardedMap")  # whose iterators begin with a copy: no way to see just 50 entries
QUICK = Effort(seconds=0.05, least=2, most=8)
QUICK_OPERATIONS = 5_000
TARGET_EFFORT = Effort(seconds=0.5, least=3, most=1_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "workloads: " + "; ".join(f"{each.name}: {each.summary}" for each in WORKLOADS.values())
    parser.add_argument("workloads", nargs="*", metavar="workload", help="what to run (default: everything)")
    names = "only these, by the names in the table; module:attribute for another map"
    parser.add_argument("--maps", type=listed, default=[], metavar="A,B", help=names)
    parser.add_argument("--threads", type=numbers, default=[1, 2], metavar="1,2", help="(default: 1,2)")
    parser.add_argument("--size", type=numbers, default=[], metavar="1e3,1e6", help="keys (default: 1e3,1e6)")
    parser.add_argument("--keys", type=listed, default=["int"], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--identical", action="store_true", help="use the stored key objects, not equal ones")
    parser.add_argument("--values", choices=("heap", "immortal"), default="heap", help="(default: heap)")
    parser.add_argument("--distribution", choices=DISTRIBUTIONS, default="uniform", help="(default: uniform)")
    parser.add_argument("--operations", type=number, metavar="N", help="of each thread in a sample")
    parser.add_argument("--replay", type=Path, metavar="TRACE", help="replay the keys of this file instead")
    parser.add_argument(
        "--format", choices=traces.FORMATS, default="", help="of the trace (default: guessed)"
    )
    latency = "percentiles of single operations, closed and open loop, RATE due a second (default: %(const)s)"
    parser.add_argument("--latency", type=number, nargs="?", const=100_000, metavar="RATE", help=latency)
    parser.add_argument("--quick", action="store_true", help="few rounds, and 1e3 keys: to see that it works")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all samples to this file")
    drawing = "draw the ratios: out.html needs nothing, out.png takes matplotlib"
    parser.add_argument("--plot", type=Path, metavar="OUT", help=drawing)
    parser.add_argument(
        "--pyperf", type=Path, metavar="OUT", help="the same for pyperf, which compares files"
    )


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def number(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"wants a whole number from 1 on, such as 1000 or 1e6, got {text!r}")
    return int(value)


def numbers(text: str) -> list[int]:
    return [number(part) for part in listed(text)]


def run(args: argparse.Namespace) -> int:
    if args.workloads == [TARGETS]:
        return run_targets(args)
    players, missing = choose_rivals(args.maps)
    places, chosen = to_replay(args) if args.replay else (scenes(args), choose_workloads(args.workloads))
    for name in missing:
        print(f"not installed, left out: {name}", file=sys.stderr)
    rows, figures = [], []
    if args.latency:
        figures = [figure for scene in places for figure in latency.latencies(players, scene, args.latency)]
        print(latency.report(figures))
    else:
        rows = measure(places, chosen, players, QUICK if args.quick else Effort())
        print(tables.report(rows))
        print(scaling.report(rows, places))
    result = results.Result(results.machine(versions(players)), rows, figures)
    write_files(result, args)
    return WRONG_ANSWER if any(row.problem.startswith("WRONG") for row in rows) else 0


def write_files(result: results.Result, args: argparse.Namespace) -> None:
    if args.json:
        results.save(result, args.json)
    if args.pyperf:
        args.pyperf.write_text(results.pyperf(result), encoding="utf-8")
    try:
        if args.plot:
            plot.write(result, args.plot)
    except plot.MissingError as error:
        raise UsageError(str(error)) from None


def run_targets(args: argparse.Namespace) -> int:
    players, missing = rivals.installed()
    progress = Progress(sys.stderr)
    effort = QUICK if args.quick else TARGET_EFFORT
    try:
        cells, _ = targets.measure(the_map(), targets.others(players), effort, args.quick, progress.say)
    finally:
        progress.clear()
    print(targets.report(cells))
    print("".join(f"\nnot installed, so not compared with: {name}" for name in missing))
    if args.json:
        args.json.write_text(targets.to_json(results.machine(versions(players)), cells), encoding="utf-8")
    return 0 if all(cell.met for cell in cells) else TARGET_MISSED


def the_map() -> Rival:
    return rivals.of_contract("HashMap", HashMap)


# --- what to measure ---


def choose_workloads(names: Sequence[str]) -> list[Workload]:
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise UsageError(f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    return [WORKLOADS[name] for name in names or WORKLOADS]


def our_maps() -> list[Rival]:
    """Every map of threadproof.maps."""
    members = [getattr(threadproof.maps, name) for name in threadproof.maps.__all__]
    kinds = [each for each in members if isinstance(each, type) and issubclass(each, ConcurrentMap)]
    return [
        rivals.of_contract(kind.__name__, kind, scans=kind.__name__ not in COPYING)
        for kind in kinds
        if not inspect.isabstract(kind)
    ]


def choose_rivals(names: Sequence[str]) -> tuple[list[Rival], list[str]]:
    """The rivals of these names, or all; and the names of those that are not installed."""
    installed, missing = rivals.installed()
    known = {rival.name: rival for rival in (*rivals.BUILT_IN, *our_maps(), *installed)}
    if not names:
        return list(known.values()), missing
    absent = [name for name in names if name in missing]
    return [find_rival(name, known) for name in names if name not in absent], absent


def find_rival(name: str, known: dict[str, Rival]) -> Rival:
    if name in known:
        return known[name]
    if ":" not in name:
        raise UsageError(f"no map {name!r}; there are {', '.join(known)}, and module:attribute")
    try:
        return rivals.load(name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot load {name!r}: {error}") from None


def scenes(args: argparse.Namespace) -> list[Scene]:
    unknown = [kind for kind in args.keys if kind not in KINDS]
    if unknown:
        raise UsageError(f"no keys of kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    sizes = args.size or ([1_000] if args.quick else [1_000, 1_000_000])
    operations = args.operations or (QUICK_OPERATIONS if args.quick else 50_000)
    return [
        Scene(kind, args.identical, args.values == "heap", n, operations, args.distribution, threads)
        for threads, kind, n in product(args.threads, args.keys, sizes)
    ]


def to_replay(args: argparse.Namespace) -> tuple[list[Scene], list[Workload]]:
    """The scenes and the one workload of a trace; its keys are the map's."""
    try:
        requests = traces.read_trace(args.replay, args.format, args.operations or sys.maxsize)
    except (OSError, traces.TraceError) as error:
        raise UsageError(str(error)) from None
    n = max(requests) + 1
    print(f"{args.replay.name}: {len(requests):,} requests for {n:,} keys\n")
    args.size, args.values = [n], "heap"
    return scenes(args), [traces.replay(args.replay, requests)]


def versions(players: Iterable[Rival]) -> dict[str, str]:
    return {rival.package: rivals.package_version(rival) for rival in players if rival.package}


def measure(
    places: Sequence[Scene], workloads: Sequence[Workload], players: Sequence[Rival], effort: Effort
) -> list[results.Row]:
    progress = Progress(sys.stderr)
    rows: list[results.Row] = []
    for done, scene in enumerate(places):
        progress.begin(f"scene {done + 1} of {len(places)}", len(workloads) * len(players), "cells")
        cells: list[results.Row] = []
        try:
            for row in isolate.measure(isolate.Job(scene, workloads, players, effort)):
                cells.append(row)
                progress.show(len(cells))
        finally:
            progress.clear()
        rows += cells
    return rows
