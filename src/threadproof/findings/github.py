"""Findings as workflow commands, which GitHub Actions shows as annotations of a pull request's lines.

The runner reads them in what a step prints. A line break, and in a property also a colon and a comma, are
written as the runner decodes them.
"""

from __future__ import annotations

from threadproof.findings import Finding, Severity

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def as_github(finding: Finding) -> str:
    """One line: the command, where it goes, and the message with what else there is to say."""
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
