"""Finding: one mistake in a program, with the places and the steps that explain it."""

from __future__ import annotations

import hashlib
import linecache
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum


def current_folder() -> str:
    """The root where there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        return os.sep


_start: str | None = None


def remember_folder() -> None:
    """Reports name files from the current folder, also when the program changes it, or deletes it."""
    global _start
    _start = current_folder()


def start_folder() -> str:
    """Where the command was given."""
    return current_folder() if _start is None else _start


class Severity(IntEnum):
    """How bad it is. NOTE: worth knowing. WARNING: may give wrong results. ERROR: will lose data one day."""

    OFF = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Place:
    """A line of source, or a part of one.

    Columns count characters from 0; they are None where only the line is known. `shown` replaces the file's
    name in reports.
    """

    file: str
    line: int
    function: str = ""
    column: int | None = None
    end_column: int | None = None
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.path()}:{self.line}"

    def path(self) -> str:
        """The name for reports: from where the command was given, unless it is two levels above that."""
        if self.shown:
            return self.shown
        if not os.path.isabs(self.file):
            return self.file
        relative = os.path.relpath(self.file, start_folder())
        return self.file if relative.startswith(os.path.join(os.pardir, os.pardir)) else relative

    def source(self) -> str:
        """The line's text, empty if the file cannot be read."""
        return linecache.getline(self.file, self.line).rstrip()

    def from_byte(self, begin: int, end: int) -> Place:
        """The same place with columns, given as CPython gives them: in bytes of UTF-8."""
        line = linecache.getline(self.file, self.line).encode()
        begin, end = (len(line[:offset].decode(errors="ignore")) for offset in (begin, end))
        return replace(self, column=begin, end_column=end)

    def marked(self) -> tuple[int, int] | None:
        """The columns to underline; None if they are unknown, or lie outside the line's text."""
        if self.column is None or self.end_column is None:
            return None
        source = self.source()
        begin = len(source) - len(source.lstrip())
        inside = begin <= self.column < self.end_column <= len(source)
        return (self.column, self.end_column) if inside else None


@dataclass(frozen=True)
class Step:
    """One event that led to the finding, and the call stack at that event, innermost call first.

    Main steps are the mistake itself, such as the two accesses of a race. The others are its history. For an
    access, its thread, "read" or "write", and the locks held are there as data, too.
    """

    what: str
    stack: Sequence[Place] = ()
    main: bool = True
    thread: str = ""
    access: str = ""
    locks: Sequence[str] = ()


@dataclass(frozen=True)
class Suppressed:
    """The place where a finding is suppressed, and the reason given there."""

    where: str
    reason: str = ""
    in_source: bool = False


@dataclass(frozen=True)
class Finding:
    """The report of one rule at one place.

    `place` is where to look first, `steps` explain how it happens, `fix` is the remedy in one line, and
    `subject` is the thing concerned, such as a variable. `times` counts how often it was seen. `identity` is
    the same text in every run for the same mistake, where subject and places are not; `variable` names the
    subject likewise, whatever the places are. `causes` are marks that findings with the same cause share, and
    `group` is the same for all of these in one report (see groups.py).
    """

    rule: str
    severity: Severity
    message: str
    place: Place
    steps: Sequence[Step] = ()
    why: str = ""
    fix: str = ""
    times: int = 1
    subject: str = ""
    suppressed: Suppressed | None = None
    identity: str = ""
    variable: str = ""
    causes: Sequence[str] = ()
    group: str = ""

    def __str__(self) -> str:
        """In one line; formats.text has the whole report."""
        return f"{self.place}: {self.severity}: {self.rule}: {self.message}"

    def places(self) -> list[Place]:
        """The places of the mistake itself: the innermost call of each main step."""
        return [step.stack[0] for step in self.steps if step.main and step.stack] or [self.place]

    def fingerprint(self) -> str:
        """Identifies the same mistake in another run: its subject, and the functions that it is in.

        It does not change when lines move, nor with the order of the two threads. For a finding without a
        subject it is made of the rule and the lines of source.
        """
        if self.identity:
            return hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        if self.subject:
            parts = {f"{file_name(place)}:{place.function}" for place in self.places()}
        else:
            parts = {f"{file_name(place)}:{self.rule}:{place.source().strip()}" for place in self.places()}
        return hashlib.sha256("\n".join([self.subject, *sorted(parts)]).encode()).hexdigest()[:16]


def file_name(place: Place) -> str:
    return place.file.rpartition("/")[2]


def summary(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 note`; suppressed findings are counted apart."""
    shown = [finding for finding in findings if not finding.suppressed]
    counts = [(sum(f.severity is severity for f in shown), str(severity)) for severity in reversed(Severity)]
    words = [f"{count} {name}{'s' * (count > 1)}" for count, name in counts if count]
    words += [f"{len(findings) - len(shown)} suppressed"] if len(shown) < len(findings) else []
    return ", ".join(words) or "nothing found"
