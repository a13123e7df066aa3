"""Findings as text, for a terminal or a log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from threadproof.findings.groups import by_group
from threadproof.findings.model import Finding, Place, Severity


@dataclass(frozen=True)
class Style:
    """The escape sequences around parts of a report; empty if there is no colour."""

    severity: Mapping[Severity, str] = field(default_factory=dict)
    bold: str = ""
    faint: str = ""
    fix: str = ""
    end: str = ""


PLAIN = Style()
COLOUR = Style(
    {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"},
    bold="\x1b[1m",
    faint="\x1b[2m",
    fix="\x1b[32m",
    end="\x1b[0m",
)


def style_for(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Style:
    """Colour on a terminal, unless NO_COLOR (no-color.org) is set; FORCE_COLOR gives colour elsewhere."""
    if environment.get("NO_COLOR"):
        return PLAIN
    return COLOUR if is_terminal(stream) or environment.get("FORCE_COLOR") else PLAIN


def is_terminal(stream: TextIO | None) -> bool:
    """Not if it is closed, or None."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def as_texts(findings: Iterable[Finding], style: Style = PLAIN) -> list[str]:
    """A text for each group: its first finding, and a line for each of the others."""
    texts = []
    for first, *others in by_group(findings):
        rest = [f"  and {len(others)} more like it, probably with the same cause:"] if others else []
        lines = [f"    {headline(finding, style)}" for finding in others]
        texts.append("\n".join([as_text(first, style), *rest, *lines]))
    return texts


def headline(finding: Finding, style: Style) -> str:
    """A finding of a group in one line."""
    tint = style.severity.get(finding.severity, "")
    return (
        f"{finding.place}: {tint}{finding.severity}{style.end}: {finding.rule}: "
        f"{finding.subject or finding.message}{', in ' * bool(functions(finding))}{functions(finding)}"
    )


def functions(finding: Finding) -> str:
    """The functions of the mistake, such as `Cache.get and Cache.put`."""
    return " and ".join(dict.fromkeys(place.function for place in finding.places() if place.function))


def as_text(finding: Finding, style: Style = PLAIN) -> str:
    """The finding's lines, without a newline at the end."""
    tint = style.severity.get(finding.severity, "")
    where = f"{style.bold}{finding.place}{style.end}: {tint}{finding.severity}{style.end}"
    lines = [f"{where}: {style.bold}{finding.rule}{style.end}: {finding.message}"]
    for step in finding.steps:
        lines.append(f"  {style.bold if step.main else ''}{step.what}{style.end if step.main else ''}")
        lines[-1] += ":" if step.stack else ""
        lines += stack_lines(step.stack, style, tint if step.main else "")
    lines += [f"  why: {finding.why}"] if finding.why else []
    lines += [f"  {style.fix}fix: {finding.fix}{style.end}"] if finding.fix else []
    return "\n".join(lines)


def stack_lines(stack: Sequence[Place], style: Style, tint: str) -> list[str]:
    """The innermost call with its source and carets, and one line for each of its callers."""
    lines = []
    for depth, place in enumerate(stack):
        where = f"{place}, in {place.function}" if place.function else str(place)
        lines.append(f"    {where if depth == 0 else f'{style.faint}called from {where}{style.end}'}")
        lines += excerpt(place, style, tint) if depth == 0 else []
    return lines


def excerpt(place: Place, style: Style, tint: str) -> list[str]:
    """The line of source, and carets under its columns."""
    source = place.source()
    if not source.strip():
        return []
    indent = len(source) - len(source.lstrip())
    lines = [f"        {source.strip()}"]
    if marked := place.marked():
        begin, end = marked
        carets = "^" * (end - begin)
        lines.append(" " * (8 + begin - indent) + (f"{tint}{carets}{style.end}" if tint else carets))
    return lines
