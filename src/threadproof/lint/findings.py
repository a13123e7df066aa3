"""Reports of rules as Findings, which all formats and suppressions of threadproof understand."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from threadproof.findings import ExitCode, Finding, Place, Severity, Step
from threadproof.findings import Rule as FindingRule
from threadproof.findings.tool import Tool
from threadproof.lint.facts.model import Span
from threadproof.lint.noqa import UNUSED
from threadproof.lint.options import OPTIONS
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules import all_rules

FOUND = 1  # the exit code for findings, as of ruff and other linters


def own_version() -> str:
    try:
        return version("threadproof")
    except PackageNotFoundError:  # used from a source tree
        return "0"


@cache
def linter() -> Tool:
    """The linter as a tool, with the rules as findings/ knows them."""
    rules = [as_finding_rule(rule) for rule in all_rules().values()]
    return Tool(OPTIONS, [*rules, UNUSED], own_version(), FOUND)


def as_finding_rule(rule: LintRule) -> FindingRule:
    return FindingRule(
        name=rule.code,
        severity=rule.severity,
        message=f"{rule.name}: {rule.message}".replace("{", "{{").replace("}", "}}"),
        fix=rule.advice,
        explanation=rule.page.partition("\n\n## Example")[0],
        tags=["concurrency", rule.name, f"external/cwe/cwe-{rule.cwe}"],
    )


def findings_of(reports: Iterable[Report]) -> list[Finding]:
    return [finding_of(report) for report in reports]


def finding_of(report: Report) -> Finding:
    rule = all_rules()[report.code]
    here = place(report.path, report.span, report.function)
    steps = [Step(rule.name, [here])]
    steps += [
        Step(one.what, [place(one.path or report.path, one.span, one.function)], main=False)
        for one in report.related
    ]
    return Finding(
        rule=report.code,
        severity=rule.severity if report.severity is None else report.severity,
        message=report.message,
        place=here,
        steps=steps,
        why=report.why,
        fix=report.fix or rule.advice,
        subject=report.subject,
    )


def place(path: str, span: Span, function: str = "") -> Place:
    found = Place(path, span.line, function)
    if span.end_line != span.line:
        length = len(found.source().encode())
        return found.from_byte(span.column, max(length, span.column + 1))
    return found.from_byte(span.column, span.end_column)


__all__ = ["FOUND", "ExitCode", "Severity", "finding_of", "findings_of", "linter"]
