"""A finding: one thing a person should look at, whichever tool made it, and how it is printed.

A tool fills in Finding and Place; `as_text`, `as_json` and `as_sarif` know nothing of tools.
"""

from __future__ import annotations

import hashlib
import json
import linecache
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How sure it is that this is a mistake: NOTE is worth knowing, ERROR will lose data one day."""

    OFF = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Place:
    """A piece of a line of source; columns count from 0, and are None where only the line is known."""

    file: str
    line: int
    function: str = ""
    column: int | None = None
    end_column: int | None = None

    def __str__(self) -> str:
        return f"{os.path.relpath(self.file) if os.path.isabs(self.file) else self.file}:{self.line}"

    def source(self) -> str:
        return linecache.getline(self.file, self.line).rstrip()


@dataclass(frozen=True)
class Step:
    """Part of a finding's story: what happened, and the call stack there, innermost first."""

    what: str
    stack: Sequence[Place] = ()


@dataclass(frozen=True)
class Finding:
    """`place` is where to look first; `steps` tell how it comes about; `fix` is what to do, in one line."""

    rule: str
    severity: Severity
    message: str
    place: Place
    steps: Sequence[Step] = ()
    why: str = ""
    fix: str = ""
    times: int = 1

    def fingerprint(self) -> str:
        """The same for the same mistake in the next run, also when lines above it have moved."""
        places = sorted(
            f"{p.file.rpartition('/')[2]}:{p.function}:{p.source().strip()}" for p in self.places()
        )
        return hashlib.sha256("\n".join([self.rule, *places]).encode()).hexdigest()[:16]

    def places(self) -> list[Place]:
        return [step.stack[0] for step in self.steps if step.stack] or [self.place]


# --- text ---


@dataclass(frozen=True)
class Style:
    """What is put around words on a terminal; nothing at all elsewhere."""

    severity: dict[Severity, str] = field(default_factory=dict)
    bold: str = ""
    faint: str = ""
    end: str = ""


PLAIN = Style()
COLOUR = Style(
    {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"},
    bold="\x1b[1m",
    faint="\x1b[2m",
    end="\x1b[0m",
)


def as_text(finding: Finding, style: Style = PLAIN) -> str:
    """Make the lines a person reads, without a newline at the end."""
    severity = f"{style.severity.get(finding.severity, '')}{finding.severity}{style.end}"
    lines = [f"{style.bold}{finding.place}{style.end}: {severity}: {finding.rule}: {finding.message}"]
    for step in finding.steps:
        lines.append(f"  {step.what}{':' if step.stack else ''}")
        lines += stack_lines(step.stack, style)
    lines += [f"  why: {finding.why}"] if finding.why else []
    lines += [f"  fix: {finding.fix}"] if finding.fix else []
    return "\n".join(lines)


def stack_lines(stack: Sequence[Place], style: Style) -> list[str]:
    """The innermost call with its source and carets, and one line for each of its callers."""
    lines = []
    for depth, place in enumerate(stack):
        where = f"{place}, in {place.function}" if place.function else str(place)
        lines.append(f"    {where if depth == 0 else f'{style.faint}called from {where}{style.end}'}")
        lines += excerpt(place) if depth == 0 else []
    return lines


def excerpt(place: Place) -> list[str]:
    source = place.source()
    if not source.strip():
        return []
    indent = len(source) - len(source.lstrip())
    lines = [f"        {source.strip()}"]
    if (
        place.column is not None
        and place.end_column is not None
        and indent <= place.column < place.end_column
    ):
        lines.append(" " * (8 + place.column - indent) + "^" * (place.end_column - place.column))
    return lines


# --- for programs ---


def as_json(findings: Sequence[Finding]) -> str:
    """A list of all there is to know, one object for each finding."""
    return json.dumps([json_object(finding) for finding in findings], indent=2)


def json_object(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "severity": str(finding.severity), "fingerprint": finding.fingerprint()}


SARIF_LEVELS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
    Severity.OFF: "none",
}


def as_sarif(findings: Sequence[Finding], tool: str, version: str) -> str:
    """SARIF 2.1.0, which code hosts show beside the source; each step of a finding is a thread flow."""
    rules = [{"id": rule} for rule in sorted({finding.rule for finding in findings})]
    run = {
        "tool": {"driver": {"name": tool, "version": version, "rules": rules}},
        "results": [sarif_result(finding) for finding in findings],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def sarif_result(finding: Finding) -> dict[str, Any]:
    flows = [
        {"locations": [{"location": sarif_location(place, step.what)} for place in reversed(step.stack)]}
        for step in finding.steps
        if step.stack
    ]
    text = " ".join(part for part in (finding.message + ".", finding.why, finding.fix) if part)
    return {
        "ruleId": finding.rule,
        "level": SARIF_LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [sarif_location(finding.place)],
        "relatedLocations": [
            sarif_location(step.stack[0], step.what) for step in finding.steps if step.stack
        ],
        "codeFlows": [{"threadFlows": flows}] if flows else [],
        "partialFingerprints": {"threadproof/v1": finding.fingerprint()},
    }


def sarif_location(place: Place, what: str = "") -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(place.line, 1)}
    if place.column is not None and place.end_column is not None:
        region |= {"startColumn": place.column + 1, "endColumn": place.end_column + 1}
    path = os.path.relpath(place.file) if os.path.isabs(place.file) else place.file
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}}
    return location | ({"message": {"text": what}} if what else {})
