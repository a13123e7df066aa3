"""Findings as one line each, as compilers and linters print them: editors can jump to it."""

from __future__ import annotations

from threadproof.findings.model import Finding


def as_concise(finding: Finding) -> str:
    """`app.py:3:8: CM101 message`; columns count from 1."""
    column = "" if finding.place.column is None else f":{finding.place.column + 1}"
    return f"{finding.place}{column}: {finding.rule} {finding.message}"
