"""Measure HashMap against dict, and against dict and a lock; print markdown tables.

    python benchmarks/ratios.py                        all rows; five minutes
    python benchmarks/ratios.py --quick                fewer rounds and no large maps; some seconds
    python benchmarks/ratios.py --only "read: int"     rows whose name has this in it; --only may be repeated
    python benchmarks/ratios.py --rival module:Class   one more map, in the same run; --rival may be repeated
    python benchmarks/ratios.py --json out.json        all samples, too

A cell of one thread is `ns (ratio to dict)`: less is better. A cell of two threads is `ns (ratio to dict)
gain`: the ns of an operation while two threads run, and how much more than one they get done: of that, more
is better.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keys import every
from measure import Samples, Stage, WrongAnswerError
from prototype import FIGURES
from rivals import DICT, RIVALS, Rival, load
from workloads import TABLES, Scene, Table, Workload

QUICK_ROUNDS, QUICK_SHARE, QUICK_SIZE = 5, 5, 1_000


@dataclass(frozen=True)
class Cell:
    """What one rival did in one row."""

    nanoseconds: float
    ratio: float
    gain: float | None  # throughput of two threads over that of one
    samples: list[int]

    def __str__(self) -> str:
        gain = f" {self.gain:.2f}x" if self.gain else ""
        return f"{self.nanoseconds:.1f} ({self.ratio:.2f}){gain}"


@dataclass(frozen=True)
class Row:
    name: str
    cells: dict[str, Cell]
    prototype: str


def main() -> int:
    args = parse_arguments()
    print(f"{machine()['python']}, {machine()['processor']}, load {machine()['load']}\n")
    gc.disable()
    try:
        results = [print_table(table, [*RIVALS, *args.rival], args) for table in TABLES]
    except WrongAnswerError as error:
        print(f"WRONG ANSWER: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "tables": results}, indent=1))
    return 0


def print_table(table: Table, rivals: Sequence[Rival], args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print a table, and return it as data."""
    cpus = usable_cpus()[: 2 if table.two_threads else 1]
    rows: list[Row] = []
    if table.two_threads and len(cpus) < 2:
        print(f"### {table.title}\n\nLeft out: this process may use one CPU only.\n")
    else:
        rows += measured(table, rivals, cpus, args)
    if rows:
        print(markdown(table.title, rows, [rival.name for rival in rivals]), flush=True)
    return {"table": table.title, "rows": [asdict(row) for row in rows]}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and operations, small maps only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="rows with TEXT in their name"
    )
    parser.add_argument("--rival", action="append", default=[], type=load, metavar="MODULE:CLASS",
                        help="another map to measure; found through PYTHONPATH")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all samples to this file")
    return parser.parse_args()


def usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
    ]
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}, GIL {gil}",
        "processor": f"{len(usable_cpus())} CPUs of {models[0] if models else platform.machine()}",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def measured(
    table: Table, rivals: Sequence[Rival], cpus: Sequence[int], args: argparse.Namespace
) -> Iterable[Row]:
    for whole in table.scenes:
        scene = chosen(whole, table, args)
        if scene.workloads and not (args.quick and scene.n > QUICK_SIZE):
            samples = Stage(scene, rivals, cpus).measure()
            gc.collect()  # maps that two threads have used wait for it
            for workload in scene.workloads:
                yield make_row(name(table, scene, workload), scene, workload, rivals, samples, len(cpus))


def chosen(scene: Scene, table: Table, args: argparse.Namespace) -> Scene:
    """Cut a scene down to the rows and rounds that were asked for."""
    wanted = tuple(
        workload
        for workload in scene.workloads
        if not args.only or any(text in name(table, scene, workload) for text in args.only)
    )
    if args.quick:
        operations = max(scene.operations // QUICK_SHARE, scene.n)
        return replace(scene, workloads=wanted, rounds=QUICK_ROUNDS, operations=operations)
    return replace(scene, workloads=wanted)


def name(table: Table, scene: Scene, workload: Workload) -> str:
    return ("two threads, " if table.two_threads else "") + scene.label(workload)


def make_row(
    title: str, scene: Scene, workload: Workload, rivals: Sequence[Rival], samples: Samples, threads: int
) -> Row:
    operations = scene.n if workload.keys is every else scene.operations
    reference = samples.per_operation(DICT, workload, threads, operations)
    assert reference is not None  # dict takes part in every workload
    cells = {}
    for rival in rivals:
        nanoseconds = samples.per_operation(rival, workload, threads, operations)
        if nanoseconds is not None:
            alone, together = samples.times[rival, workload, 1], samples.times[rival, workload, threads]
            gain = threads * min(alone) / min(together) if threads > 1 else None
            cells[rival.name] = Cell(nanoseconds, nanoseconds / reference, gain, together)
    return Row(title, cells, FIGURES.get(title, ""))


def markdown(title: str, rows: list[Row], rivals: list[str]) -> str:
    lines = [["", *rivals, "prototype"]] + [
        [row.name, *(str(row.cells.get(rival, "-")) for rival in rivals), row.prototype] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    body = "\n".join(
        "| " + " | ".join(f"{cell:{w}}" for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
    return f"### {title}\n\n{body}\n"


if __name__ == "__main__":
    sys.exit(main())
