"""The tables of README.md: some rows that compare HashMap with a dict, and with a dict and a lock."""

from __future__ import annotations

from collections.abc import Sequence

from threadproof.bench import tables
from threadproof.bench.ceiling import CEILING
from threadproof.bench.contenders import DICT, LOCKED_DICT
from threadproof.bench.results import Result, Row
from threadproof.bench.targets import (
    APART,
    BUILD,
    CHURN,
    COUNTINGS,
    DELETE,
    GET_MANY,
    LARGE,
    OURS,
    READ,
    READ_50,
    READ_95,
    SMALL,
    WRITE,
)
from threadproof.bench.workloads import Workload

# Workload, kind of key, identical, n. Where a whole map is built or emptied, keys are always identical.
Line = tuple[Workload, str, bool, int]
IDENTICAL, FRESH = True, False

ONE_THREAD: tuple[Line, ...] = (
    (READ, "int", IDENTICAL, SMALL),
    (READ, "int", FRESH, SMALL),
    (READ, "str", IDENTICAL, SMALL),
    (READ, "str", FRESH, SMALL),
    (READ, "tuple", FRESH, SMALL),
    (WRITE, "int", IDENTICAL, SMALL),
    (WRITE, "int", FRESH, SMALL),
    (WRITE, "str", IDENTICAL, SMALL),
    (WRITE, "str", FRESH, SMALL),
    (READ, "int", FRESH, LARGE),
    (READ, "str", FRESH, LARGE),
    (WRITE, "int", FRESH, LARGE),
    (WRITE, "str", FRESH, LARGE),
    (BUILD, "int", IDENTICAL, SMALL),
    (BUILD, "int", IDENTICAL, LARGE),
    (BUILD, "str", IDENTICAL, LARGE),
    (CHURN, "int", IDENTICAL, SMALL),
    (DELETE, "int", IDENTICAL, LARGE),
    (DELETE, "str", IDENTICAL, LARGE),
    (GET_MANY, "int", FRESH, LARGE),
    (COUNTINGS[1], "int", FRESH, LARGE),
)
TWO_THREADS: tuple[Line, ...] = (
    (READ, "int", FRESH, SMALL),
    (READ, "str", FRESH, SMALL),
    (READ, "int", IDENTICAL, SMALL),
    (APART, "int", FRESH, SMALL),
    (APART, "int", IDENTICAL, SMALL),
    (READ_95, "int", FRESH, SMALL),
    (READ_50, "int", FRESH, SMALL),
    (CHURN, "int", FRESH, SMALL),
    (CHURN, "str", FRESH, SMALL),
    (READ, "int", FRESH, LARGE),
    (APART, "int", FRESH, LARGE),
    (READ_50, "str", FRESH, LARGE),
    (CHURN, "int", FRESH, LARGE),
)
NAMES = {
    "95/5": "95 % read, 5 % overwrite",
    "50/50": "50 % read, 50 % overwrite",
    "churn": "insert, delete",
    "mass delete": "delete",
}


def sections(result: Result) -> dict[str, str]:
    two = table(result, TWO_THREADS, 2, (DICT.name, LOCKED_DICT.name, OURS))
    return {"ratios": "\n\n".join([table(result, ONE_THREAD, 1, (DICT.name, OURS)), two, best_gain(result)])}


def best_gain(result: Result) -> str:
    found = [each.value for each in result.measurements if each.what == CEILING]
    return f"{CEILING} on this machine: {found[0]:.2f}x." if found else ""


def table(result: Result, lines: Sequence[Line], threads: int, names: Sequence[str]) -> str:
    """One table; a row that was not measured is left out."""
    heads = {
        1: "one thread, ns (ratio to dict)",
        2: "two threads, ns (ratio to dict) and gain over one thread",
    }
    body = [[heads[threads], *names]]
    for line in lines:
        rows = {row.contender: row for row in result.rows if is_of(row, line, threads)}
        if DICT.name in rows:
            body.append([label(line), *(cell(rows.get(name), rows[DICT.name]) for name in names)])
    return tables.columns(body)


def is_of(row: Row, line: Line, threads: int) -> bool:
    workload, kind, identical, n = line
    scenario = row.scenario
    measured = (row.workload, scenario.kind, scenario.identical, scenario.n, scenario.threads, scenario.heap)
    return measured == (workload.name, kind, identical, n, threads, False)


def label(line: Line) -> str:
    workload, kind, identical, n = line
    origin = "identical" if identical else "fresh"
    return f"{NAMES.get(workload.name, workload.name)}: {kind}, {origin}, n={n:,}"


def cell(row: Row | None, dicts: Row) -> str:
    """`ns (ratio to dict) gain`; `~` before it marks a cell of a busy moment."""
    if row is None or row.lost:
        return "-"
    noise = "~" if row.spread > tables.NOISY else ""
    text = f"{noise}{row.nanoseconds:.1f}"
    if row.scenario.threads > 1 or row is not dicts:
        text += f" ({row.nanoseconds / dicts.nanoseconds:.2f})" if not dicts.lost else ""
    return f"{text} {row.gain:.2f}x" if row.gain and row.scenario.threads > 1 else text
