"""Rows as tables, in Markdown that can also be read on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadproof.bench.results import Row
from threadproof.bench.scenario import Scenario

BASE = "dict + Lock"
NOISY = 0.25  # a median that far above the minimum means that the machine was busy


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def by_scenario(rows: Iterable[Row]) -> dict[Scenario, list[Row]]:
    """The rows of each scenario; scenarios that differ only in the number of operations are one."""
    scenarios: dict[Scenario, list[Row]] = {}
    for row in rows:
        scenarios.setdefault(replace(row.scenario, operations=0), []).append(row)
    return scenarios


def grid(rows: Iterable[Row]) -> tuple[list[str], list[str], dict[tuple[str, str], Row]]:
    """The workloads, the contenders, and the row of each pair."""
    cells = {(row.workload, row.contender): row for row in rows}
    workloads = list(dict.fromkeys(workload for workload, _ in cells))
    return workloads, list(dict.fromkeys(contender for _, contender in cells)), cells


def ratio(row: Row | None, base: Row | None) -> float | None:
    """The throughput as a multiple of the base's."""
    if row is None or base is None or row.lost or base.lost:
        return None
    return base.nanoseconds / row.nanoseconds


def scenario_table(rows: Sequence[Row], base: str = BASE) -> str:
    workloads, contenders, cells = grid(rows)
    lines = [["", *contenders]]
    for workload in workloads:
        reference = cells.get((workload, base))
        lines.append(
            [workload, *(cell(cells.get((workload, contender)), reference) for contender in contenders)]
        )
    return columns(lines)


def cell(row: Row | None, base: Row | None) -> str:
    if row is None or row.problem:
        return "WRONG" if row and row.problem.startswith("WRONG") else "-"
    if row.lost:
        return "?"
    times = ratio(row, base)
    noise = "~" if row.spread > NOISY else ""
    return f"{noise}{row.nanoseconds:.1f}" + (f" {times:.2f}x" if times else "")


def gains_table(rows: Sequence[Row]) -> str:
    """The throughput of several threads over that of one."""
    workloads, contenders, cells = grid(rows)
    lines = [["", *contenders]]
    for workload in workloads:
        gains = [
            each.gain if each and not each.problem else None for each in picked(cells, workload, contenders)
        ]
        lines.append([workload, *("-" if gain is None else f"{gain:.2f}x" for gain in gains)])
    return columns(lines)


def picked(cells: dict[tuple[str, str], Row], workload: str, contenders: Sequence[str]) -> list[Row | None]:
    return [cells.get((workload, contender)) for contender in contenders]


def loops(rows: Sequence[Row]) -> str:
    """The costs of the empty loops, which were subtracted."""
    shown = {row.workload: row.loop / row.operations for row in rows if not row.problem}
    return ", ".join(f"{workload} {nanoseconds:.1f}" for workload, nanoseconds in shown.items())


def problems(rows: Iterable[Row]) -> list[str]:
    """The contenders that were excluded, with the reason; a line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.problem:
            workloads = reasons.setdefault((row.contender, row.problem), [])
            workloads += [] if row.workload in workloads else [row.workload]
    return [
        f"{contender}: {problem} ({', '.join(workloads)})"
        for (contender, problem), workloads in reasons.items()
    ]


def report(rows: Sequence[Row], base: str = BASE) -> str:
    """All rows: a table for each scenario, the gains where threads share a map, and the problems."""
    parts = []
    for scenario, those in by_scenario(rows).items():
        parts.append(f"### {scenario.threads_label}, {scenario.label}\n\n{scenario_table(those, base)}\n")
        parts.append(f"ns of the empty loops, subtracted: {loops(those)}\n")
        if scenario.threads > 1:
            parts.append(f"Throughput gained over one thread:\n\n{gains_table(those)}\n")
    parts += ["Excluded:\n\n" + "\n".join(f"- {line}" for line in problems(rows)) + "\n"] * any(
        problems(rows)
    )
    return "\n".join(parts)
