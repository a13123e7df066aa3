"""Rows as tables: for people at a terminal, and the same text as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadproof.bench.results import Row
from threadproof.bench.workloads import Scene

BASE = "dict + Lock"
NOISY = 0.25  # a median that much above the minimum says that the machine was busy


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Lay out lines of cells under one another, as a Markdown table whose source can be read too."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def by_scene(rows: Iterable[Row]) -> dict[Scene, list[Row]]:
    """The rows of each scene; scenes that differ only in how much was done are one."""
    scenes: dict[Scene, list[Row]] = {}
    for row in rows:
        scenes.setdefault(replace(row.scene, operations=0), []).append(row)
    return scenes


def grid(rows: Iterable[Row]) -> tuple[list[str], list[str], dict[tuple[str, str], Row]]:
    """The workloads, the rivals, and the row of each pair of them."""
    cells = {(row.workload, row.rival): row for row in rows}
    workloads = list(dict.fromkeys(workload for workload, _ in cells))
    return workloads, list(dict.fromkeys(rival for _, rival in cells)), cells


def ratio(row: Row | None, base: Row | None) -> float | None:
    """The throughput as a multiple of the base's."""
    if row is None or base is None or row.lost or base.lost:
        return None
    return base.nanoseconds / row.nanoseconds


def scene_table(rows: Sequence[Row], base: str = BASE) -> str:
    workloads, rivals, cells = grid(rows)
    lines = [["", *rivals]]
    for workload in workloads:
        reference = cells.get((workload, base))
        lines.append([workload, *(cell(cells.get((workload, rival)), reference) for rival in rivals)])
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
    """How much more the threads get done than one of them."""
    workloads, rivals, cells = grid(rows)
    lines = [["", *rivals]]
    for workload in workloads:
        gains = [each.gain if each and not each.problem else None for each in picked(cells, workload, rivals)]
        lines.append([workload, *("-" if gain is None else f"{gain:.2f}x" for gain in gains)])
    return columns(lines)


def picked(cells: dict[tuple[str, str], Row], workload: str, rivals: Sequence[str]) -> list[Row | None]:
    return [cells.get((workload, rival)) for rival in rivals]


def loops(rows: Sequence[Row]) -> str:
    """What the loops cost that was taken off."""
    shown = {row.workload: row.loop / row.operations for row in rows if not row.problem}
    return ", ".join(f"{workload} {nanoseconds:.1f}" for workload, nanoseconds in shown.items())


def problems(rows: Iterable[Row]) -> list[str]:
    """Who took no part, and why; a line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.problem:
            workloads = reasons.setdefault((row.rival, row.problem), [])
            workloads += [] if row.workload in workloads else [row.workload]
    return [f"{rival}: {problem} ({', '.join(workloads)})" for (rival, problem), workloads in reasons.items()]


def losses(rows: Sequence[Row], name: str) -> list[tuple[float, Row, Row]]:
    """Where somebody is ahead of the rival of this name: ratio, its row, the best's row."""
    found = []
    for those in by_scene(rows).values():
        workloads, rivals, cells = grid(those)
        for workload in workloads:
            others = [cells[workload, rival] for rival in rivals if rival != name]
            best = min((row for row in others if not row.lost), key=lambda row: row.nanoseconds, default=None)
            times = ratio(cells[workload, name], best)
            if best is not None and times is not None and times < 1:
                found.append((times, cells[workload, name], best))
    return sorted(found, key=lambda loss: loss[0])


def report(rows: Sequence[Row], base: str = BASE) -> str:
    """All rows: a table for each scene, the gains where threads share a map, and what went wrong."""
    parts = []
    for scene, those in by_scene(rows).items():
        parts.append(f"### {scene.crowd}, {scene.label}\n\n{scene_table(those, base)}\n")
        parts.append(f"ns of the loops, taken off: {loops(those)}\n")
        if scene.threads > 1:
            parts.append(f"Throughput gained over one thread:\n\n{gains_table(those)}\n")
    parts += ["Took no part:\n\n" + "\n".join(f"- {line}" for line in problems(rows)) + "\n"] * any(
        problems(rows)
    )
    return "\n".join(parts)
