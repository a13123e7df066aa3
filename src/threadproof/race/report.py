"""From a session to what people see of it: its findings, less what is suppressed, as text and as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadproof.findings import Finding, Place, Step, summary
from threadproof.findings.github import as_github
from threadproof.findings.html import as_html
from threadproof.findings.json import as_json
from threadproof.findings.sarif import as_sarif
from threadproof.findings.suppress import Rule, Suppressions, read_rules, write_baseline
from threadproof.findings.text import PLAIN, as_text, style_for
from threadproof.race.kinds import KINDS
from threadproof.race.session import Session

RACE_FOUND = 66  # the exit code, as Go has it
TOOL = "threadproof race"

FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {
    "json": as_json,
    "sarif": lambda findings: as_sarif(findings, TOOL, version("threadproof")),
    "html": lambda findings: as_html(findings, TOOL),
}


class Reporter:
    """What the options say of reports. SuppressionError for a file of suppressions that cannot be read."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        classes = {kind.name for kind in KINDS}
        rules = [rule for path in options["suppressions"] for rule in read_rules(path, classes)]
        self.suppressions = Suppressions("race", rules, options["baseline"])

    def findings(self, session: Session, allowed: Sequence[Rule] = (), since: int = 0) -> list[Finding]:
        """What the session found after `since` races, the worst first; what is suppressed says so."""
        prefix = self.options["strip_path_prefix"]
        found = self.suppressions.apply(session.findings(self.options["strict"], since), allowed)
        return [stripped(finding, prefix) for finding in found] if prefix else found

    def is_bad(self, finding: Finding) -> bool:
        return not finding.suppressed and finding.severity >= self.options["severity"]

    def publish(self, findings: Sequence[Finding], unused: Sequence[str] = ()) -> None:
        """Print the report, or write it to the log, and write every file that was asked for."""
        log = self.options["log_path"]
        if log:
            Path(f"{log}.{os.getpid()}").write_text(
                self.text(findings, unused, colour=False), encoding="utf-8"
            )
        else:
            sys.stdout.flush()
            sys.stderr.write(self.text(findings, unused, colour=True))
        self.save(findings)

    def save(self, findings: Sequence[Finding]) -> None:
        """Write every file that was asked for."""
        for name, make in FORMATS.items():
            if self.options[name]:
                Path(self.options[name]).write_text(make(findings) + "\n", encoding="utf-8")
        if self.options["write_baseline"]:
            write_baseline(findings, self.options["write_baseline"])

    def text(self, findings: Sequence[Finding], unused: Sequence[str], colour: bool) -> str:
        """The whole report; nothing at all where there is nothing to say."""
        style = style_for(sys.stderr) if colour else PLAIN
        heard = [finding for finding in findings if not finding.suppressed]
        lines = [f"{as_text(finding, style)}\n" for finding in heard]
        lines += [as_github(finding) for finding in heard] if self.options["github"] else []
        lines += [f"{TOOL}: {row}" for row in unused]
        lines += [f"{TOOL}: {summary(findings)}"] if findings else []
        return "".join(f"{line}\n" for line in lines)


def stripped(finding: Finding, prefix: str) -> Finding:
    """The finding with shorter names of files; its source is still found."""

    def strip(place: Place) -> Place:
        return (
            replace(place, shown=place.file.removeprefix(prefix)) if place.file.startswith(prefix) else place
        )

    steps = [Step(step.what, [strip(place) for place in step.stack], step.main) for step in finding.steps]
    return replace(finding, place=strip(finding.place), steps=steps)
