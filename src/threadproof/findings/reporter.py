"""From a tool's findings to its output: the report, the requested files, the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadproof.findings.exit_codes import ExitCode
from threadproof.findings.formats import FILES
from threadproof.findings.formats.github import as_github
from threadproof.findings.formats.text import PLAIN, as_text, style_for
from threadproof.findings.model import Finding, Place, Step, summary
from threadproof.findings.suppress import Suppression, Suppressions, read_suppressions, write_baseline
from threadproof.findings.tool import Tool


class Reporter:
    """Applies the common options. SuppressionError for suppressions that cannot be read."""

    def __init__(self, tool: Tool, options: Mapping[str, Any]) -> None:
        """`options` are the values by name, as `Options.read` or the command line's parser has them."""
        self.tool = tool
        self.options = options
        files = [read_suppressions(path, tool.rule_names) for path in options["suppressions"]]
        listed = [suppression for file in files for suppression in file]
        self.suppressions = Suppressions(tool.name, listed, options["baseline"])

    def apply(self, findings: Iterable[Finding], allowed: Sequence[Suppression] = ()) -> list[Finding]:
        """The findings with suppressed ones marked and file names shortened; `allowed` is for this call."""
        found = self.suppressions.apply(findings, allowed)
        prefix = self.options["strip_path_prefix"]
        return [stripped(finding, prefix) for finding in found] if prefix else found

    def counts(self, finding: Finding) -> bool:
        """Whether the finding sets the exit code."""
        return not finding.suppressed and finding.severity >= self.options["severity"]

    def exit_code(self, findings: Iterable[Finding], otherwise: int = ExitCode.OK) -> int:
        """The tool's code for findings if one counts, else `otherwise`."""
        return self.tool.found if any(map(self.counts, findings)) else otherwise

    def unused(self, files: Iterable[str]) -> list[str]:
        """The suppressions that covered nothing; comments are looked for in these source files."""
        return self.suppressions.unused(files)

    def publish(self, findings: Sequence[Finding], unused: Sequence[str] = ()) -> None:
        """Print the report or write it to the log, and write the requested files."""
        self.print(findings, unused)
        self.save(findings)

    def print(self, findings: Sequence[Finding], unused: Sequence[str] = ()) -> None:
        """Write the report to the log if there is one, else to stderr."""
        if log := self.options["log_path"]:
            text = self.text(findings, unused, colour=False)
            Path(f"{log}.{os.getpid()}").write_text(text, encoding="utf-8")
        else:
            sys.stdout.flush()
            sys.stderr.write(self.text(findings, unused, colour=True))

    def save(self, findings: Sequence[Finding]) -> None:
        """Write the requested files."""
        for name, formatted in FILES.items():
            if path := self.options[name]:
                Path(path).write_text(formatted(findings, self.tool) + "\n", encoding="utf-8")
        if path := self.options["write_baseline"]:
            write_baseline(findings, path)

    def text(self, findings: Sequence[Finding], unused: Sequence[str], colour: bool) -> str:
        """The whole report; empty where there is nothing to report."""
        style = style_for(sys.stderr) if colour else PLAIN
        shown = [finding for finding in findings if not finding.suppressed]
        lines = [f"{as_text(finding, style)}\n" for finding in shown]
        lines += [as_github(finding) for finding in shown] if self.options["github"] else []
        lines += [f"{self.tool.title}: {row}" for row in unused]
        lines += [f"{self.tool.title}: {summary(findings)}"] if findings else []
        return "".join(f"{line}\n" for line in lines)


def stripped(finding: Finding, prefix: str) -> Finding:
    """The finding with shorter file names in its report; the source is still read from the whole path."""

    def strip(place: Place) -> Place:
        inside = place.file.startswith(prefix)
        return replace(place, shown=place.file.removeprefix(prefix)) if inside else place

    steps = [Step(step.what, [strip(place) for place in step.stack], step.main) for step in finding.steps]
    return replace(finding, place=strip(finding.place), steps=steps)
