"""Findings as a JUnit report: a failed test case for each, shown by CI servers as tests are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escape_html

from threadproof.findings.formats.text import as_text
from threadproof.findings.model import Finding

# Characters that XML 1.0 cannot hold, such as an escape in a quoted line of source.
FORBIDDEN = dict.fromkeys({*range(32)} - {9, 10, 13}, "\N{REPLACEMENT CHARACTER}")

WHITE = {9: "&#9;", 10: "&#10;", 13: "&#13;"}  # or a reader makes blanks of them


def escape(text: str) -> str:
    return escape_html(text, quote=False)


def quoteattr(text: str) -> str:
    """As of xml.sax.saxutils, whose import takes longer than most reports: it needs urllib and ssl."""
    return f'"{escape_html(text).translate(WHITE)}"'


def as_junit(findings: Sequence[Finding], title: str) -> str:
    """The text of the file, without a newline at the end. Suppressed findings are skipped test cases."""
    cases = "".join(map(case, findings))
    failed = sum(not finding.suppressed for finding in findings)
    skipped = len(findings) - failed
    counts = f'tests="{max(len(findings), 1)}" failures="{failed}" skipped="{skipped}" errors="0"'
    body = cases or '  <testcase name="no findings" classname="threadproof"/>\n'
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n'
        f"<testsuite name={quoteattr(title)} {counts}>\n"
        f"{body}</testsuite>\n</testsuites>"
    )


def case(finding: Finding) -> str:
    name, classname = quoteattr(f"{finding.rule} {finding.place}"), quoteattr(finding.place.path())
    head = f"  <testcase name={name} classname={classname} line={quoteattr(str(finding.place.line))}>\n"
    if finding.suppressed:
        return f"{head}    <skipped message={quoteattr(finding.suppressed.reason)}/>\n  </testcase>\n"
    text = escape(as_text(finding).translate(FORBIDDEN))
    message = quoteattr(finding.message.translate(FORBIDDEN))
    severity = quoteattr(str(finding.severity))
    return f"{head}    <failure type={severity} message={message}>{text}</failure>\n  </testcase>\n"
