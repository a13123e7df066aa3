"""Measure HashMap against dict, and against dict and a lock; README has some of the rows.

    python benchmarks/ratios.py                        all rows, each in three processes; twelve minutes
    python benchmarks/ratios.py --quick                fewer rounds and no large maps; some seconds
    python benchmarks/ratios.py --only "read: int"     rows whose name contains this; may be repeated
    python benchmarks/ratios.py --contender module:C   one more map in the same run; may be repeated
    python benchmarks/ratios.py --json out.json        all samples, too
    python benchmarks/ratios.py --write                and write some of the rows into README.md

A cell of one thread is `ns (ratio to dict)`: less is better. A cell of two threads is `ns (ratio to dict)
gain`: the ns of an operation while two threads run, and their throughput over that of one, where more is
better. Values are None, which is immortal, so that only the map is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pages.markers import write_between
from pages.passes import Passes, in_passes, say
from pages.targets import APART, BUILD, COUNT_MANY, GET_MANY, READ, RESERVE, SET_MANY, WRITE
from threadproof.bench import contenders, isolate, tables
from threadproof.bench.contenders import DICT, LOCKED_DICT, Contender
from threadproof.bench.results import Row, machine, where
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workers import usable_cpus
from threadproof.bench.workloads import LOOP, WORKLOADS, Workload, mixed
from threadproof.maps import HashMap

PASSES = 3  # processes that measure each row, minutes apart; all their samples count together
SECONDS = 0.3  # of each contender in each process: some hundred rounds on a small map
QUICK_ROUNDS, QUICK_SHARE, QUICK_SIZE = 5, 5, 1_000
SMALL, LARGE = 1_000, 1_000_000
IDENTICAL, FRESH = True, False
BOTH = (IDENTICAL, FRESH)

# Where the loop is a large part of the time, its cost is subtracted; elsewhere it stays.
GET = replace(READ, name="get", body=f"{LOOP}    <get>")
IN = replace(READ, name="in", body=f"{LOOP}    <in>")
DELETE = replace(WORKLOADS["mass delete"], name="delete", subtract=False)
COUNT_MANY_UNIFORM = replace(COUNT_MANY, distribution="uniform")
COUNT_MANY_ZIPF = replace(COUNT_MANY, name="count_many, zipf")
READ_95 = replace(
    WORKLOADS["95/5"], name="95 % read, 5 % overwrite", prepare=mixed(0.05, "apart"), subtract=False
)
READ_50 = replace(
    WORKLOADS["50/50"], name="50 % read, 50 % overwrite", prepare=mixed(0.5, "apart"), subtract=False
)
INSERT_DELETE = replace(WORKLOADS["churn"], name="insert, delete", subtract=False)

BASIC = (READ, WRITE, GET, IN)
WHOLE = (BUILD, RESERVE, SET_MANY, DELETE)
MANY = (GET_MANY, COUNT_MANY_UNIFORM, COUNT_MANY_ZIPF)
SHARED = (READ, APART, READ_95, READ_50, INSERT_DELETE)

# The rows that README shows.
README = Path(__file__).parents[1] / "README.md"
ROWS_OF_ONE = (
    "read: int, identical, n=1,000",
    "read: int, fresh, n=1,000",
    "read: str, identical, n=1,000",
    "read: str, fresh, n=1,000",
    "overwrite: int, identical, n=1,000",
    "overwrite: int, fresh, n=1,000",
    "overwrite: str, identical, n=1,000",
    "overwrite: str, fresh, n=1,000",
    "read: int, identical, n=1,000,000",
    "read: int, fresh, n=1,000,000",
    "read: str, identical, n=1,000,000",
    "read: str, fresh, n=1,000,000",
    "overwrite: int, identical, n=1,000,000",
    "overwrite: int, fresh, n=1,000,000",
    "overwrite: str, identical, n=1,000,000",
    "overwrite: str, fresh, n=1,000,000",
    "read: tuple, fresh, n=1,000",
    "build: int, n=1,000,000",
    "delete: int, n=1,000,000",
    "delete: str, n=1,000,000",
    "get_many: int, fresh, n=1,000,000",
    "count_many, zipf: int, fresh, n=1,000,000",
)
ROWS_OF_TWO = (
    "read: int, fresh, n=1,000",
    "read: str, fresh, n=1,000",
    "overwrite, disjoint keys: int, fresh, n=1,000",
    "95 % read, 5 % overwrite: int, fresh, n=1,000",
    "50 % read, 50 % overwrite: int, fresh, n=1,000",
    "insert, delete: int, fresh, n=1,000",
    "insert, delete: str, fresh, n=1,000",
    "read: int, identical, n=1,000",
    "overwrite, disjoint keys: int, identical, n=1,000",
    "read: int, fresh, n=1,000,000",
    "overwrite, disjoint keys: int, fresh, n=1,000,000",
    "50 % read, 50 % overwrite: str, fresh, n=1,000,000",
    "insert, delete: int, fresh, n=1,000,000",
)


@dataclass(frozen=True)
class Part:
    """Workloads that run in the same scenarios: one for each kind of key and each origin of the keys."""

    kinds: str
    origins: tuple[bool, ...]
    n: int
    operations: int
    rounds: int  # at least
    workloads: tuple[Workload, ...]
    shuffled: bool = False  # every key of a map in random order

    def scenarios(self, threads: int) -> Iterator[Scenario]:
        for kind in self.kinds.split(", "):
            for identical in self.origins:
                yield Scenario(
                    kind, identical, False, self.n, self.operations, threads=threads, shuffled=self.shuffled
                )


@dataclass(frozen=True)
class Table:
    """Scenarios printed together: of the thread that made the maps, or of two others."""

    title: str
    parts: tuple[Part, ...]
    threads: int = 1


def every_key(n: int, rounds: int) -> tuple[Part, ...]:
    return (
        Part("int", (IDENTICAL,), n, n, rounds, WHOLE),
        Part("int", (IDENTICAL,), n, n, rounds, WHOLE, shuffled=True),
        Part("str", (IDENTICAL,), n, n, rounds, WHOLE),
    )


TABLES = (
    Table(
        "One thread",
        (
            Part("int, str", BOTH, SMALL, 50_000, 15, BASIC),
            Part("int, str", BOTH, LARGE, 50_000, 15, BASIC[:2]),
        ),
    ),
    Table(
        "One thread, other keys", (Part("tuple, float, bytes, big int", BOTH, SMALL, 50_000, 15, (READ,)),)
    ),
    Table("One thread, every key of a map", every_key(SMALL, 15) + every_key(LARGE, 2)),
    Table(
        "One thread, many keys in one call",
        (
            Part("int, str", (FRESH,), SMALL, 200_000, 4, MANY),
            Part("int, str", (FRESH,), LARGE, 200_000, 4, MANY),
        ),
    ),
    Table(
        "Two threads",
        (
            Part("int, str", BOTH, SMALL, 100_000, 8, SHARED),
            Part("int, str", (FRESH,), LARGE, 100_000, 8, SHARED),
        ),
        threads=2,
    ),
)


@dataclass(frozen=True)
class Piece:
    """A part of a table that one process measures."""

    table: Table
    job: isolate.Job


@dataclass(frozen=True)
class Cell:
    """One contender in one row."""

    nanoseconds: float
    ratio: float
    gain: float | None  # throughput of two threads over that of one
    samples: list[int]

    def __str__(self) -> str:
        gain = f" {self.gain:.2f}x" if self.gain else ""
        return f"{self.nanoseconds:.1f} ({self.ratio:.2f}){gain}"


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    name: str
    cells: dict[str, Cell]


class WrongAnswerError(Exception):
    """A map does not hold what the run has stored, so its times mean nothing."""


def main() -> int:
    args = parse_arguments()
    print(f"{where(machine())}, load {machine()['load']}\n")
    measured = [DICT, LOCKED_DICT, contenders.of_contract("HashMap", HashMap), *args.contender]
    pieces = [piece for table in TABLES for piece in pieces_of(table, measured, args)]
    passes = in_passes([piece.job for piece in pieces], 1 if args.quick else PASSES, say)
    try:
        lines = [(piece.table, line) for piece in pieces for line in lines_of(piece, passes)]
    except WrongAnswerError as error:
        print(error, file=sys.stderr)
        return 1
    results = [
        print_table(table, [line for each, line in lines if each is table], measured) for table in TABLES
    ]
    if args.write:
        write_between(README, "ratios", in_readme({line.name: line.cells for _, line in lines}))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "tables": results}, indent=1))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and operations, small maps only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="rows with TEXT in their name"
    )
    parser.add_argument("--contender", action="append", default=[], type=load, metavar="MODULE:CLASS",
                        help="another map to measure; found through PYTHONPATH")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all samples to this file")
    parser.add_argument("--write", action="store_true", help="write some of the rows into README.md")
    args = parser.parse_args()
    if args.write and (args.quick or args.only or len(usable_cpus()) < 2):
        parser.error("--write needs all rows, fully measured: two CPUs, and neither --quick nor --only")
    return args


def load(place: str) -> Contender:
    try:
        return contenders.load(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot load {place!r}: {error}") from error


def pieces_of(table: Table, measured: Sequence[Contender], args: argparse.Namespace) -> Iterator[Piece]:
    """What to measure for a table; nothing if there are too few CPUs."""
    for part in table.parts:
        if table.threads > len(usable_cpus()) or (args.quick and part.n > QUICK_SIZE):
            continue
        effort = Effort(0, QUICK_ROUNDS, QUICK_ROUNDS) if args.quick else Effort(SECONDS, part.rounds, 1_000)
        for scenario in part.scenarios(table.threads):
            few = max(scenario.operations // QUICK_SHARE, scenario.n)
            workloads = [each for each in part.workloads if wanted(name(scenario, each), args.only)]
            if workloads:
                chosen = replace(scenario, operations=few) if args.quick else scenario
                yield Piece(table, isolate.Job(chosen, workloads, measured, effort))


def print_table(table: Table, lines: Sequence[Line], measured: Sequence[Contender]) -> dict[str, Any]:
    """Print a table, and return it as data."""
    if table.threads > len(usable_cpus()):
        print(f"### {table.title}\n\nLeft out: this process may use one CPU only.\n")
    elif lines:
        print(markdown(table.title, lines, [contender.name for contender in measured]), flush=True)
    return {"table": table.title, "rows": [asdict(line) for line in lines]}


def wanted(row: str, only: Sequence[str]) -> bool:
    return not only or any(text in row for text in only)


def name(scenario: Scenario, workload: Workload) -> str:
    """The name of a row, in tables, in JSON and for --only."""
    kind = f"{scenario.kind}, shuffled" if scenario.shuffled else scenario.kind
    origin = "" if workload in WHOLE else ", identical" if scenario.identical else ", fresh"
    start = "two threads, " if scenario.threads > 1 else ""
    return f"{start}{workload.name}: {kind}{origin}, n={scenario.n:,}"


def lines_of(piece: Piece, passes: Passes) -> Iterator[Line]:
    scenario = piece.job.scenario
    for workload in piece.job.workloads:
        title = name(scenario, workload)
        found = [passes.row(scenario, workload, contender) for contender in piece.job.contenders]
        for row in found:
            if row.problem.startswith("WRONG"):
                raise WrongAnswerError(f"{row.contender}, {title}: {row.problem}")
        dicts = found[0].nanoseconds
        made = {row.contender: make_cell(row, dicts) for row in found if not row.problem}
        yield Line(title, made)


def make_cell(row: Row, dicts: float) -> Cell:
    return Cell(row.nanoseconds, row.nanoseconds / dicts, row.gain, row.samples)


def markdown(title: str, lines: Sequence[Line], names: Sequence[str]) -> str:
    body = [[line.name, *(str(line.cells.get(each, "-")) for each in names)] for line in lines]
    return f"### {title}\n\n{tables.columns([['', *names], *body])}\n"


def in_readme(cells: Mapping[str, dict[str, Cell]]) -> str:
    one = [["one thread, ns (ratio to dict)", "dict", "HashMap"]]
    one += [[row, f"{cells[row]['dict'].nanoseconds:.1f}", str(cells[row]["HashMap"])] for row in ROWS_OF_ONE]
    head, *names = (
        "two threads, ns (ratio to dict) and gain over one thread",
        "dict",
        "dict + Lock",
        "HashMap",
    )
    two = [[head, *names]]
    two += [[row, *(str(cells[f"two threads, {row}"][each]) for each in names)] for row in ROWS_OF_TWO]
    return f"{tables.columns(one)}\n\n{tables.columns(two)}"


if __name__ == "__main__":
    sys.exit(main())
