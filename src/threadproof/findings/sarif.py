"""Findings as SARIF 2.1.0, which code hosts and editors show beside the source.

Each step of a finding is a thread flow: its call stack, the outermost first, so that one can walk through
both sides of a race. What is suppressed is listed as such. The standard is OASIS's, "Static Analysis Results
Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from threadproof.findings import Finding, Place, Severity

LEVELS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
    Severity.OFF: "none",
}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(findings: Sequence[Finding], tool: str, version: str) -> str:
    """Make the text of the file, without a newline at the end."""
    rules = {
        finding.rule: {"id": finding.rule, "help": {"text": finding.fix or finding.rule}}
        for finding in findings
    }
    run = {
        "tool": {
            "driver": {"name": tool, "version": version, "rules": [rules[rule] for rule in sorted(rules)]}
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"uri": Path.cwd().as_uri() + "/"}},
        "results": [result(finding) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def result(finding: Finding) -> dict[str, Any]:
    steps = [step for step in finding.steps if step.stack]
    flows = [
        {
            "message": {"text": step.what},
            "locations": [{"location": location(p)} for p in reversed(step.stack)],
        }
        for step in steps
    ]
    ends = [("Why", finding.why), ("Fix", finding.fix)]
    text = ". ".join([finding.message, *(f"{word}: {said}" for word, said in ends if said)])
    return {
        "ruleId": finding.rule,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [location(finding.place)],
        "relatedLocations": [location(step.stack[0], step.what) for step in steps],
        "codeFlows": [{"threadFlows": flows}] if flows else [],
        "partialFingerprints": {"threadproof/v1": finding.fingerprint()},
        "occurrenceCount": finding.times,
        "suppressions": suppressions(finding),
    }


def suppressions(finding: Finding) -> list[dict[str, str]]:
    """An empty list says that it has been looked for, and that there is none."""
    by = finding.suppressed
    if by is None:
        return []
    return [{"kind": "inSource" if by.in_source else "external", "justification": f"{by.where}: {by.reason}"}]


def location(place: Place, what: str = "") -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(place.line, 1)}
    if place.column is not None and place.end_column is not None:
        region |= {"startColumn": place.column + 1, "endColumn": place.end_column + 1}
    if source := place.source():
        region["snippet"] = {"text": source}
    found: dict[str, Any] = {"physicalLocation": {"artifactLocation": artifact(place), "region": region}}
    if place.function:
        found["logicalLocations"] = [{"fullyQualifiedName": place.function, "kind": "function"}]
    return found | ({"message": {"text": what}} if what else {})


def artifact(place: Place) -> dict[str, str]:
    """The file from the root of the project, where it is below that; else all of its path."""
    path = place.path()
    if os.path.isabs(path):
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(path), "uriBaseId": "ROOT"}
