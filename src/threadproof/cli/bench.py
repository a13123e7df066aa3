"""`threadproof bench`: measure maps against dict, against dict with a lock, and against other packages' maps.

A cell is `ns ratio`: the ns of one operation of one thread, without the loop, and the throughput as a
multiple of dict + Lock in the same run (more is better). `~` marks a cell whose median was a quarter or more
above its minimum. Every answer is checked; a wrong one makes its row invalid.

`threadproof bench targets` measures whether HashMap reaches its targets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import threadproof.maps
from threadproof.bench import (
    caches,
    contenders,
    latency,
    plan,
    plot,
    results,
    scaling,
    tables,
    targets,
    traces,
)
from threadproof.bench.contenders import Contender
from threadproof.bench.keys import DISTRIBUTIONS, KINDS
from threadproof.bench.results import Measurement, Row
from threadproof.bench.run import (
    QUICK,
    Grid,
    UnknownNameError,
    choose_contenders,
    choose_workloads,
    measure,
    replayed,
)
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS, Workload
from threadproof.cli import UsageError, table
from threadproof.cli.progress import Progress
from threadproof.findings import ExitCode

TARGETS = "targets"  # in place of a workload
EXIT_CODES = {
    ExitCode.OK: "measured",
    ExitCode.TARGET_MISSED: f"`{TARGETS}`: measured, and one is missed",
    ExitCode.WRONG_ANSWER: "a map gave a wrong answer; its row has WRONG",
    ExitCode.USAGE: "no such workload, map or file; one line says which",
    ExitCode.INTERRUPTED: "interrupted",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_targets = "measure whether HashMap reaches its targets: 20 minutes; with --quick two"
    workloads = {each.name: each.summary for each in WORKLOADS.values()}
    parser.epilog = "workloads:\n" + table(workloads | {TARGETS: of_targets})
    names = "only these, by their names in the table; module:attribute for any other map"
    rate = "percentiles in ns of single operations; in the open loop RATE per second are due (%(const)s)"
    add = parser.add_argument
    add("workloads", nargs="*", metavar="workload", help="what to run (default: all)")
    add("--maps", type=listed, default=[], metavar="A,B", help=names)
    add("--threads", type=numbers, default=[1, 2], metavar="1,2", help="numbers of threads (default: 1,2)")
    add("--size", type=numbers, default=[], metavar="1e3,1e6", help="numbers of keys (default: 1e3,1e6)")
    add("--keys", type=listed, default=["int"], metavar="KIND", help=", ".join(KINDS) + " (default: int)")
    add("--identical", action="store_true", help="use the stored key objects, not equal ones")
    add("--values", choices=("heap", "immortal"), default="heap", help="(default: heap)")
    add("--distribution", choices=DISTRIBUTIONS, default="uniform", help="(default: uniform)")
    add("--operations", type=number, metavar="N", help="of each thread in a sample (default: 50000)")
    add("--replay", type=Path, metavar="TRACE", help="replay the keys of this file instead")
    add(
        "--cache",
        type=Path,
        metavar="TRACE",
        help="hit ratios of caches of --size entries for this file's keys",
    )
    add("--format", choices=traces.FORMATS, default="", help="of the trace (default: guessed)")
    add("--latency", type=number, nargs="?", const=100_000, metavar="RATE", help=rate)
    add("--quick", action="store_true", help="few rounds, and 1e3 keys: to see that it works")
    add("--json", type=Path, metavar="OUT", help="write all samples, in ns, to this file")
    add("--plot", type=Path, metavar="OUT", help="draw the ratios: out.html, or with matplotlib out.png")
    add("--pyperf", type=Path, metavar="OUT", help="write the samples, in seconds, in the format of pyperf")


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
    if args.cache:
        return replay_on_caches(args)
    if TARGETS in args.workloads:
        return run_targets(args)
    try:
        chosen, missing = choose_contenders(args.maps, contenders.in_module(threadproof.maps))
        scenarios, workloads = to_measure(args)
    except (UnknownNameError, traces.TraceError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot read {error.filename!r}: {error.strerror}") from None
    for name in missing:
        print(f"not installed, left out: {name}", file=sys.stderr)
    rows: list[Row] = []
    measurements: list[Measurement] = []
    if args.latency:
        measurements = percentiles(scenarios, chosen, args.latency)
        print(latency.report(measurements))
    else:
        rows = throughputs(scenarios, workloads, chosen, QUICK if args.quick else Effort())
        print(tables.report(rows))
        print(scaling.report(rows, scenarios))
    machine = results.machine(contenders.versions(chosen))
    write_files(results.Result(machine, rows, measurements), args)
    return ExitCode.WRONG_ANSWER if any(row.problem.startswith("WRONG") for row in rows) else ExitCode.OK


def replay_on_caches(args: argparse.Namespace) -> int:
    """Print the hit ratios of Cache, of the policies in the literature, and of every installed package."""
    try:
        requests = traces.read_trace(args.cache, args.format, args.operations or sys.maxsize)
    except traces.TraceError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot read {error.filename!r}: {error.strerror}") from None
    distinct = len(set(requests))
    print(f"{args.cache.name}: {len(requests):,} requests for {distinct:,} keys; hits in percent\n")
    sizes = args.size or [max(distinct // part, 1) for part in (100, 30, 10, 3)]
    ours = {"threadproof.Cache": caches.of_mapping(lambda size: threadproof.maps.Cache(max_size=size))}
    progress = Progress(sys.stderr)
    ratios = []
    try:
        for ratio in caches.hit_ratios(requests, sizes, ours | caches.POLICIES | caches.installed()):
            ratios.append(ratio)
            progress.say(f"{ratio.cache} of {ratio.size:,}: {100 * ratio.ratio:.2f}")
    finally:
        progress.clear()
    print(caches.report(ratios))
    return ExitCode.OK


def run_targets(args: argparse.Namespace) -> int:
    """`threadproof bench targets`: the workloads, maps and sizes are those of the targets."""
    if len(args.workloads) > 1 or args.maps or args.size or args.replay or args.latency or args.pyperf:
        raise UsageError(f"{TARGETS} stands alone, or with --quick, --json OUT and --plot OUT")
    hash_map = next(each for each in contenders.in_module(threadproof.maps) if each.name == targets.OURS)
    installed, missing = contenders.installed()
    progress = Progress(sys.stderr)
    try:
        effort = QUICK if args.quick else plan.EFFORT
        peers = [each for each in plan.peers(installed) if each.name in targets.PEERS]
        result = plan.measure(hash_map, peers, effort, args.quick, progress.say)
    finally:
        progress.clear()
    cells = targets.judge(result)
    print(f"{results.where(result.machine)}\n\n{targets.report(cells)}")
    print("".join(f"\nnot installed, so not compared with: {name}" for name in missing))
    write_files(result, args, targets.to_json(result.machine, cells))
    return ExitCode.OK if all(cell.met for cell in cells) else ExitCode.TARGET_MISSED


def to_measure(args: argparse.Namespace) -> tuple[list[Scenario], list[Workload]]:
    """The scenarios and workloads that the arguments name; a trace is one workload, with its own keys."""
    sizes, heap = args.size or ([1_000] if args.quick else [1_000, 1_000_000]), args.values == "heap"
    workloads = [] if args.replay else choose_workloads(args.workloads)
    if args.replay:
        workload, requests, n = replayed(args.replay, args.format, args.operations)
        print(f"{args.replay.name}: {requests:,} requests for {n:,} keys\n")
        sizes, heap, workloads = [n], True, [workload]
    operations = args.operations or (5_000 if args.quick else 50_000)
    grid = Grid(args.keys, sizes, args.threads, operations, args.identical, heap, args.distribution)
    return grid.scenarios(), workloads


def percentiles(scenarios: Sequence[Scenario], chosen: Sequence[Contender], rate: int) -> list[Measurement]:
    """The latencies of every scenario, with progress on a terminal."""
    progress = Progress(sys.stderr)
    measurements: list[Measurement] = []
    try:
        for number, scenario in enumerate(scenarios, 1):
            progress.say(f"scenario {number} of {len(scenarios)}: {scenario.threads_label}, {scenario.label}")
            measurements += latency.latencies(chosen, scenario, rate)
    finally:
        progress.clear()
    return measurements


def throughputs(
    scenarios: Sequence[Scenario], workloads: Sequence[Workload], chosen: Sequence[Contender], effort: Effort
) -> list[Row]:
    """The rows of every scenario, with progress on a terminal."""
    progress = Progress(sys.stderr)
    progress.begin("measuring", len(scenarios) * len(workloads) * len(chosen), "cells")
    rows: list[Row] = []
    try:
        for row in measure(scenarios, workloads, chosen, effort):
            rows.append(row)
            progress.show(len(rows))
    finally:
        progress.clear()
    return rows


def write_files(result: results.Result, args: argparse.Namespace, cells: str = "") -> None:
    """`cells`: the text for --json, if it is not the result itself."""
    try:
        if args.json and cells:
            args.json.write_text(cells, encoding="utf-8")
        elif args.json:
            results.save(result, args.json)
        if args.pyperf:
            args.pyperf.write_text(results.pyperf(result), encoding="utf-8")
        if args.plot:
            plot.write(result, args.plot)
    except plot.MissingError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None
