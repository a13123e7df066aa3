"""A finding: one thing a person should look at, whichever tool made it.

A tool fills in Finding, Step and Place. The modules beside this one print them, and know nothing of tools:
`text` for a terminal, `html` as a page, `json` and `sarif` for programs, `github` for a pull request.
`suppress` says which of them nobody wants to hear of.
"""

from __future__ import annotations

import hashlib
import linecache
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum


class Severity(IntEnum):
    """How sure it is that this is a mistake: NOTE is worth knowing, ERROR will lose data one day."""

    OFF = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Place:
    """A piece of a line of source; columns count from 0, and are None where only the line is known.

    `shown` is what the file is called in reports, if that is not what people call it from where they stand.
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
        """The file as people name it: from where they stand, unless that is elsewhere altogether."""
        if self.shown:
            return self.shown
        if not os.path.isabs(self.file):
            return self.file
        relative = os.path.relpath(self.file)
        return self.file if relative.startswith(os.path.join(os.pardir, os.pardir)) else relative

    def source(self) -> str:
        return linecache.getline(self.file, self.line).rstrip()

    def from_byte(self, begin: int, end: int) -> Place:
        """The same place with its columns, which CPython counts in bytes of UTF-8, and we in characters."""
        line = linecache.getline(self.file, self.line).encode()
        begin, end = (len(line[:offset].decode(errors="ignore")) for offset in (begin, end))
        return replace(self, column=begin, end_column=end)

    def marked(self) -> tuple[int, int] | None:
        """The columns to put carets under; None where they are not known or hold no text of the line."""
        if self.column is None or self.end_column is None:
            return None
        source = self.source()
        begin = len(source) - len(source.lstrip())
        inside = begin <= self.column < self.end_column <= len(source)
        return (self.column, self.end_column) if inside else None


@dataclass(frozen=True)
class Step:
    """Part of a finding's story: what happened, and the call stack there, innermost first.

    `main` steps are the mistake itself; the others tell how it came to it.
    """

    what: str
    stack: Sequence[Place] = ()
    main: bool = True


@dataclass(frozen=True)
class Suppressed:
    """Who said that nobody needs to hear of a finding: where that is written, and the reason given there."""

    where: str
    reason: str = ""
    in_source: bool = False


@dataclass(frozen=True)
class Finding:
    """`place` is where to look first; `steps` tell how it comes about; `fix` is what to do, in one line.

    `subject` is what it is about, such as a variable.
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

    def places(self) -> list[Place]:
        """Where the mistake itself stands: the innermost place of each main step."""
        return [step.stack[0] for step in self.steps if step.main and step.stack] or [self.place]

    def fingerprint(self) -> str:
        """The same for the same mistake in another run: its subject, and the functions it stands in.

        Neither lines that move change it, nor which of several threads came first. A finding about nothing in
        particular has its rule and source instead.
        """
        if self.subject:
            parts = {f"{file_name(place)}:{place.function}" for place in self.places()}
        else:
            parts = {f"{file_name(place)}:{self.rule}:{place.source().strip()}" for place in self.places()}
        return hashlib.sha256("\n".join([self.subject, *sorted(parts)]).encode()).hexdigest()[:16]


def file_name(place: Place) -> str:
    return place.file.rpartition("/")[2]


def summary(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 note`; what is suppressed counts as that."""
    heard = [finding for finding in findings if not finding.suppressed]
    counts = [(sum(f.severity is severity for f in heard), str(severity)) for severity in reversed(Severity)]
    words = [f"{count} {name}{'s' * (count > 1)}" for count, name in counts if count]
    words += [f"{len(findings) - len(heard)} suppressed"] if len(heard) < len(findings) else []
    return ", ".join(words) or "nothing found"
