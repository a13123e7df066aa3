"""From a tool's findings to its output: the report, the requested files, the exit code."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadproof.findings.baseline import write_baseline
from threadproof.findings.exit_codes import ExitCode
from threadproof.findings.formats import FILES
from threadproof.findings.formats.github import as_github
from threadproof.findings.formats.text import PLAIN, as_texts, style_for
from threadproof.findings.groups import grouped
from threadproof.findings.model import Finding, Place, start_folder, summary
from threadproof.findings.suppress import Suppression, Suppressions, read_suppressions
from threadproof.findings.tool import Tool


class Reporter:
    """Applies the common options. SuppressionError for suppressions that cannot be read."""

    def __init__(self, tool: Tool, options: Mapping[str, Any]) -> None:
        """`options` are the values by name, as `Options.read` or the command line's parser has them.

        Output goes to where their paths lead now, and to the stderr of now: the program may change both.
        """
        self.tool = tool
        self.options = dict(options)
        for name in (*FILES, "log_path", "write_baseline"):
            if self.options[name]:
                self.options[name] = os.path.join(start_folder(), self.options[name])
        files = [read_suppressions(path, tool.rule_names) for path in options["suppressions"]]
        listed = [suppression for file in files for suppression in file]
        self.suppressions = Suppressions(tool.name, listed, options["baseline"], tool.rule_names)
        self.stderr = Stderr()
        self.watched = ""  # the last line of the report: what the tool has looked at

    def check_outputs(self) -> None:
        """OSError for the first file that could not be written in the end."""
        for name in (*FILES, "write_baseline"):
            if path := self.options[name]:
                check_writable(with_process(path))
        if log := self.options["log_path"]:
            check_writable(f"{log}.{os.getpid()}")

    def apply(self, findings: Iterable[Finding], allowed: Sequence[Suppression] = ()) -> list[Finding]:
        """The findings with suppressed ones marked, and with groups; `allowed` is for this call."""
        found = grouped(self.suppressions.apply(findings, allowed))
        prefix = self.options["strip_path_prefix"]
        return [stripped(finding, prefix) for finding in found] if prefix else found

    def counts(self, finding: Finding) -> bool:
        """Whether the finding sets the exit code."""
        return not finding.suppressed and finding.severity >= self.options["severity"]

    def exit_code(self, findings: Iterable[Finding], otherwise: int = ExitCode.OK) -> int:
        """The tool's code for findings if one counts, else `otherwise`."""
        return self.tool.found if any(map(self.counts, findings)) else otherwise

    def unused(self, files: Iterable[str], running: Collection[str] | None = None) -> list[str]:
        """The suppressions that covered nothing; comments are looked for in these source files.

        `running` are the rules that ran, if not all did.
        """
        return self.suppressions.unused(files, running)

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
            self.stderr.write(self.text(findings, unused, colour=True))

    def save(self, findings: Sequence[Finding]) -> None:
        """Write the requested files."""
        for name, formatted in FILES.items():
            if path := self.options[name]:
                text = formatted(findings, self.tool) + "\n"
                Path(with_process(path)).write_text(text, encoding="utf-8")
        if path := self.options["write_baseline"]:
            write_baseline(findings, with_process(path), self.suppressions.baseline.entries)

    def text(self, findings: Sequence[Finding], unused: Sequence[str], colour: bool) -> str:
        """The whole report; empty where there is nothing to report."""
        style = style_for(self.stderr.stream) if colour else PLAIN
        shown = [finding for finding in findings if not finding.suppressed]
        lines = [f"{text}\n" for text in as_texts(shown, style)]
        lines += [as_github(finding) for finding in shown] if self.options["github"] else []
        lines += [f"{self.tool.title}: {row}" for row in unused]
        lines += [f"{self.tool.title}: {summary(findings)}"] if findings else []
        lines += [f"{self.tool.title}: {self.watched}"] if self.watched else []
        return "".join(f"{line}\n" for line in lines)


class Stderr:
    """The stderr of the time when it was made, whatever the program does with its own."""

    # a program's own descriptors get the numbers that they get without the tool, which are the lowest
    LOWEST = 200

    def __init__(self) -> None:
        self.stream = sys.stderr
        self.descriptor: int | None = None
        try:
            if self.stream is sys.__stderr__ and self.stream is not None:
                self.descriptor = fcntl.fcntl(self.stream.fileno(), fcntl.F_DUPFD_CLOEXEC, self.LOWEST)
        except (OSError, ValueError, AttributeError):
            pass  # there is none, or no room: then it is the stream, if it still works

    def write(self, text: str) -> None:
        """What the program has printed comes first."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by None
                stream.flush()
        with suppress(OSError, ValueError, AttributeError):
            if self.descriptor is None:
                self.stream.write(text)
                return
            encoding = self.stream.encoding or "utf-8"
            rest = memoryview(text.encode(encoding, "backslashreplace"))
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]


def with_process(path: str) -> str:
    """`%p` in a path is the number of the process."""
    return path.replace("%p", str(os.getpid()))


def check_writable(path: str) -> None:
    """OSError if the file cannot be written. It is left as it is."""
    there = os.path.exists(path)
    with open(path, "ab"):
        pass
    if not there:
        os.unlink(path)


def stripped(finding: Finding, prefix: str) -> Finding:
    """The finding with shorter file names in its report; the source is still read from the whole path."""

    def strip(place: Place) -> Place:
        inside = place.file.startswith(prefix)
        return replace(place, shown=place.file.removeprefix(prefix)) if inside else place

    steps = [replace(step, stack=[strip(place) for place in step.stack]) for step in finding.steps]
    return replace(finding, place=strip(finding.place), steps=steps)
