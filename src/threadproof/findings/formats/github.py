"""Findings as workflow commands, which GitHub Actions shows as annotations on the lines of a pull request.

The runner reads them from what a step prints. Line breaks, and in properties also colons and commas, are
percent-encoded, as the runner decodes them.
"""

from __future__ import annotations

from threadproof.findings.model import Finding, Severity

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def as_github(finding: Finding) -> str:
    """One line: the command, the place, and the message with steps, reason and fix."""
    place = finding.place
    properties = {"file": place.path(), "line": str(place.line), "title": finding.rule}
    if place.column is not None and place.end_column is not None:
        properties |= {"col": str(place.column + 1), "endColumn": str(place.end_column)}
    listed = ",".join(f"{name}={in_property(value)}" for name, value in properties.items())
    where = [f"{step.what}: {step.stack[0]}" for step in finding.steps if step.stack]
    fix = f"fix: {finding.fix}" if finding.fix else ""
    text = "\n".join(part for part in (finding.message, *where, finding.why, fix) if part)
    return f"::{COMMANDS.get(finding.severity, 'notice')} {listed}::{in_message(text)}"


def in_message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def in_property(text: str) -> str:
    return in_message(text).replace(":", "%3A").replace(",", "%2C")
