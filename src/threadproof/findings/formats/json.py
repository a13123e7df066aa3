"""Findings as JSON: a list with one object for each finding, which has all its fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from threadproof.findings.model import Finding, Place, Severity, Step, Suppressed


def as_json(findings: Sequence[Finding]) -> str:
    """The text of the file, without a newline at the end. Suppressed findings are included, and marked."""
    return json.dumps([json_object(finding) for finding in findings], indent=2)


def json_object(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "severity": str(finding.severity), "fingerprint": finding.fingerprint()}


def from_object(made: dict[str, Any]) -> Finding:
    """The finding from which json_object() made this."""
    fields = {name: value for name, value in made.items() if name != "fingerprint"}
    fields["severity"] = Severity[made["severity"].upper()]
    fields["place"] = Place(**made["place"])
    fields["suppressed"] = Suppressed(**made["suppressed"]) if made["suppressed"] else None
    fields["steps"] = [
        Step(step["what"], [Place(**place) for place in step["stack"]], step["main"])
        for step in made["steps"]
    ]
    return Finding(**fields)
