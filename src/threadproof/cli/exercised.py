"""`threadproof race --lint`: the linter's findings in a program that a run of it never reached.

A race detector judges only the code that ran. So the lines that ran are noted, and of the linter's findings
in the watched files those on other lines are printed first: no verdict of the run covers them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import Any

from threadproof.cli import UsageError
from threadproof.findings.formats.concise import as_concise
from threadproof.lint.engine import Engine
from threadproof.lint.findings import finding_of
from threadproof.lint.options import OPTIONS
from threadproof.lint.races import ranked
from threadproof.lint.rule import Report
from threadproof.lint.selection import Selection

monitoring: Any = getattr(sys, "monitoring", None)  # new in 3.12; the race detector needs 3.14


class Lines:
    """Notes each line of Python that runs, once: its event is turned off at the first time."""

    def __init__(self) -> None:
        """UsageError if another tool measures coverage at the same time."""
        self.ran: set[tuple[str, int]] = set()
        try:
            monitoring.use_tool_id(monitoring.COVERAGE_ID, "threadproof race --lint")
        except ValueError:
            raise UsageError("--lint cannot run under another tool that measures coverage") from None
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, self.note)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)

    def note(self, code: CodeType, line: int) -> Any:
        """Called by the thread that is about to run the line; adding to a set is one step."""
        self.ran.add((code.co_filename, line))
        return monitoring.DISABLE

    def close(self) -> None:
        monitoring.free_tool_id(monitoring.COVERAGE_ID)


def report(files: Iterable[str], ran: Iterable[tuple[str, int]]) -> str:
    """The findings of all rules in these files, those that did not run first; "" if there is none."""
    marked = ranked(reports_of([file for file in files if os.path.isfile(file)]), ran)
    missed = [one for one, reached in marked if not reached]
    reached = [one for one, reached in marked if reached]
    parts = [listed("never reached by this run", missed), listed("reached by this run", reached)]
    return "".join(part for part in parts if part)


def reports_of(files: Sequence[str]) -> list[Report]:
    selection = Selection(OPTIONS.read({}) | {"preview": True})
    return selection.shown(Engine().run(files).reports)


def listed(what: str, reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    lines = [f"  {as_concise(finding_of(one))}\n" for one in reports]
    return f"threadproof lint: {len(lines)} finding{'s' * (len(lines) > 1)} {what}\n{''.join(lines)}"
