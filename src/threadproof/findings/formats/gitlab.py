"""Findings as GitLab's code quality report: a JSON list, which GitLab shows in merge requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from threadproof.findings.model import Finding, Severity

LEVELS = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.NOTE: "minor", Severity.OFF: "info"}


def as_gitlab(findings: Sequence[Finding]) -> str:
    """The text of the file, without a newline at the end. Suppressed findings are not in it."""
    seen: set[str] = set()
    shown = [finding for finding in findings if not finding.suppressed]
    return json.dumps([entry(finding, seen) for finding in shown], indent=2)


def entry(finding: Finding, seen: set[str]) -> dict[str, Any]:
    return {
        "description": finding.message,
        "check_name": finding.rule,
        "fingerprint": unique(f"{finding.rule}:{finding.fingerprint()}", seen),
        "severity": LEVELS[finding.severity],
        "location": {"path": finding.place.path(), "lines": {"begin": max(finding.place.line, 1)}},
    }


def unique(fingerprint: str, seen: set[str]) -> str:
    """GitLab drops entries with the fingerprint of another: the second gets a number."""
    number, made = 1, fingerprint
    while made in seen:
        number += 1
        made = f"{fingerprint}:{number}"
    seen.add(made)
    return made
