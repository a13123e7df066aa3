"""Findings as JSON: the version of the format, the tool, and an object for each finding, with all fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from threadproof.findings.model import Finding, Place, Severity, Step, Suppressed
from threadproof.findings.tool import Tool

VERSION = 1  # goes up when a field changes its meaning or goes away; new fields may come at any time


def as_json(findings: Sequence[Finding], tool: Tool) -> str:
    """The text of the file, without a newline at the end. Suppressed findings are included, and marked."""
    made = {
        "version": VERSION,
        "tool": {"name": tool.title, "version": tool.version},
        "findings": [json_object(finding) for finding in findings],
    }
    return json.dumps(made, indent=2)


def json_object(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "severity": str(finding.severity), "fingerprint": finding.fingerprint()}


def from_object(made: dict[str, Any]) -> Finding:
    """The finding from which json_object() made this."""
    fields = {name: value for name, value in made.items() if name != "fingerprint"}
    fields["severity"] = Severity[made["severity"].upper()]
    fields["place"] = Place(**made["place"])
    fields["suppressed"] = Suppressed(**made["suppressed"]) if made["suppressed"] else None
    fields["steps"] = [
        Step(**{**step, "stack": [Place(**place) for place in step["stack"]]}) for step in made["steps"]
    ]
    return Finding(**fields)
