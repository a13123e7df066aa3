"""Findings as SARIF 2.1.0, which code hosts and editors show beside the source.

Each step of a finding is a thread flow: its call stack, outermost call first, so that a viewer can step
through both sides of a race. Suppressed findings are included, and marked. The standard is OASIS's "Static
Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from threadproof.findings.model import Finding, Place, Severity, start_folder
from threadproof.findings.rule import Rule
from threadproof.findings.tool import Tool

LEVELS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
    Severity.OFF: "none",
}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(findings: Sequence[Finding], tool: Tool) -> str:
    """The text of the file, without a newline at the end."""
    driver = {"name": tool.title, "version": tool.version, "rules": descriptors(findings, tool.rules)}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"uri": Path(start_folder()).as_uri() + "/"}},
        "results": [result(finding) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def descriptors(findings: Sequence[Finding], rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """One for each rule that has a finding, by name. If a rule is not a value, only its fix is known."""
    fixes = {finding.rule: finding.fix for finding in findings}
    known = {rule.name: rule for rule in rules}
    return [
        {"id": name, "help": {"text": fixes[name] or name}}
        | (description(known[name]) if name in known else {})
        for name in sorted(fixes)
    ]


def description(rule: Rule) -> dict[str, Any]:
    described: dict[str, Any] = {
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.explanation or rule.summary},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
    }
    if rule.url:
        described["helpUri"] = rule.url
    if rule.tags:
        described["properties"] = {"tags": list(rule.tags)}
    return described


def result(finding: Finding) -> dict[str, Any]:
    steps = [step for step in finding.steps if step.stack]
    flows = [
        {
            "message": {"text": step.what},
            "locations": [{"location": location(p)} for p in reversed(step.stack)],
        }
        for step in steps
    ]
    parts = [("Why", finding.why), ("Fix", finding.fix)]
    text = ". ".join([finding.message, *(f"{title}: {part}" for title, part in parts if part)])
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
        **({"properties": {"group": finding.group}} if finding.group else {}),
    }


def suppressions(finding: Finding) -> list[dict[str, str]]:
    """SARIF reads an empty list as "not suppressed", and no list as "not known"."""
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
    """The file, relative to the current directory where it is below that; else its whole path."""
    path = place.path()
    if os.path.isabs(path):
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(path), "uriBaseId": "ROOT"}
