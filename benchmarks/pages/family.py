"""The table of docs/maps.md: every map in every workload that tells them apart, as a ratio to dict + Lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import threadproof.maps
from threadproof.bench import contenders, plan, results, tables, targets
from threadproof.bench.contenders import DICT, LOCKED_DICT, NOTHING, SHARDED_DICT, Contender
from threadproof.bench.memory import BYTES
from threadproof.bench.pauses import WORST_PAUSE
from threadproof.bench.plan import Step
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.targets import EVERY_WORKLOAD
from threadproof.bench.workloads import WORKLOADS

NAMES = (
    "read", "99/1", "95/5", "50/50", "write", "99/1 new", "95/5 new", "50/50 new", "write new",
    "mass delete", "clear and refill", "iterate while writing",
)  # fmt: skip
TITLES = {
    "read": "100/0",
    "write": "0/100",
    "99/1": "99/1, stable keys",
    "95/5": "95/5, stable keys",
    "50/50": "50/50, stable keys",
    "99/1 new": "99/1, new keys",
    "95/5 new": "95/5, new keys",
    "50/50 new": "50/50, new keys",
    "write new": "0/100, new keys",
}


def steps(maps: Iterable[Contender], effort: Effort, trial: bool) -> list[Step]:
    """The maps of the page beside HashMap, with the dicts with locks in the same processes."""
    workloads = [WORKLOADS[name] for name in NAMES]
    planned = plan.every_workload((LOCKED_DICT, SHARDED_DICT, *maps), effort, workloads, kinds=("int",))
    return plan.quickened(planned) if trial else planned


def sections(result: Result) -> dict[str, str]:
    """The parts of the page, by the names of their markers."""
    where = results.where(result.machine | {"packages": {}})
    return {"measured": f"Measured on {where}.\n\n{markdown(of_family(result))}"}


def of_family(result: Result) -> Result:
    """The rows of every map of this package, and of dicts without and with locks, in the page's workloads."""
    family = [each.name for each in contenders.in_module(threadproof.maps)]
    shown = {DICT.name, LOCKED_DICT.name, SHARDED_DICT.name, *family}
    rows = [
        row
        for row in result.rows
        if row.scenario in EVERY_WORKLOAD
        and row.scenario.kind == "int"
        and row.workload in NAMES
        and row.contender in shown
    ]
    return Result(result.machine, rows, result.measurements)


def markdown(result: Result) -> str:
    """The tables, one for each size and number of threads, and the contenders that were excluded."""
    parts = []
    for scenario, rows in tables.by_scenario(result.rows).items():
        title = f"**{scenario.n:,} keys, {scenario.threads_label}**"
        parts.append(f"{title}\n\n{table(rows, result.measurements, scenario)}")
    parts += ["\n".join(f"- {line}" for line in tables.problems(result.rows))] * bool(
        tables.problems(result.rows)
    )
    return "\n\n".join(parts)


def table(rows: Sequence[Row], measurements: Sequence[Measurement], scenario: Scenario) -> str:
    workloads, contenders, cells = tables.grid(rows)
    lines = [["", *contenders]]
    for workload in workloads:
        base = cells.get((workload, tables.BASE))
        found = [cell(cells.get((workload, contender)), base) for contender in contenders]
        lines.append([TITLES.get(workload, workload), *found])
    pauses = [of(measurements, WORST_PAUSE, contender, scenario) for contender in contenders]
    lines.append(
        [
            f"{WORST_PAUSE} ({short(of(measurements, WORST_PAUSE, NOTHING.name, scenario))})",
            *map(short, pauses),
        ]
    )
    sizes = [of(measurements, BYTES, contender, scenario) for contender in contenders]
    lines.append([BYTES, *("-" if size is None else f"{size:.0f}" for size in sizes)])
    return tables.columns(lines)


def cell(row: Row | None, base: Row | None) -> str:
    """The ratio of the throughputs; marked if the machine was busy meanwhile."""
    value = tables.ratio(row, base)
    noise = "~" if value is not None and row and base and targets.noisy(row, base) else ""
    return f"{noise}{short(value)}"


def of(measurements: Sequence[Measurement], what: str, contender: str, scenario: Scenario) -> float | None:
    """The value of one measurement; bytes do not depend on the number of threads."""
    found = [
        each.value
        for each in measurements
        if (each.what, each.contender, each.n, each.problem) == (what, contender, scenario.n, "")
        and (what == BYTES or each.threads == scenario.threads)
    ]
    return found[0] if found else None


def short(value: float | None) -> str:
    """Two significant digits."""
    return "-" if value is None else f"{value:.2g}" if value < 100 else f"{value:.0f}"
