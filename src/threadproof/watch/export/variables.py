"""Everything as one JSON object, as Go's expvar has it."""

from __future__ import annotations

from typing import Any

from threadproof.findings import Finding
from threadproof.watch.export.snapshot import Row, Snapshot


def as_object(snapshot: Snapshot) -> dict[str, Any]:
    """{"process": {...}, "structures": {label: {...}}, "findings": [...]}; no keys, and no values of maps."""
    return {
        "process": snapshot.process.as_dict(),
        "structures": {row.label: row_object(row) for row in snapshot.rows},
        "findings": [finding_object(finding) for finding in snapshot.findings],
        "failures": snapshot.failures,
    }


def row_object(row: Row) -> dict[str, Any]:
    return {"kind": row.kind, "stats": row.stats.as_dict()}


def finding_object(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.rule,
        "structure": finding.subject,
        "severity": str(finding.severity),
        "message": finding.message,
        "why": finding.why,
        "fix": finding.fix,
    }
