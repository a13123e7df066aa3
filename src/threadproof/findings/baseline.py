"""Baselines: the findings of earlier runs of a program, which later runs do not report.

An entry is one finding, by its fingerprint. Which functions of a racy variable meet, and how bad that looks,
depends on the schedule of the run. So a finding is known, too,

- if its variable and its functions are listed, unless it is worse and on a line that is not listed;
- if ENOUGH variables of its class are listed, with the same locks held: then the class as a whole is used
  without its lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from threadproof.findings.model import Finding, Severity, file_name

ENOUGH = 3  # variables: of two that race, each may have its own reason
Entries = Mapping[str, Mapping[str, Any]]  # by fingerprint; each has a severity


class SuppressionError(ValueError):
    """A file of suppressions or a baseline that cannot be read; the message is one line, with the place."""


class Baseline:
    """The entries of a file; records which of them were used. Without a file there are none."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.entries: Entries = read_entries(path) if path else {}
        self.used: set[str] = set()  # names, as of name_of()
        self.worst: dict[str, Severity] = {}  # by name
        self.lines: dict[str, set[str]] = {}  # of source, by variable
        self.functions: dict[str, set[str]] = {}  # by variable
        self.of_class: dict[str, set[str]] = {}  # variables by mark
        for fingerprint, entry in self.entries.items():
            self.add(fingerprint, entry)

    def add(self, fingerprint: str, entry: Mapping[str, Any]) -> None:
        severity, variable = severity_of(entry), entry.get("variable", "")
        for name in filter(None, (fingerprint, variable)):
            self.worst[name] = max(severity, self.worst.get(name, Severity.OFF))
        if variable:
            self.lines.setdefault(variable, set()).update(entry.get("lines", ()))
            self.functions.setdefault(variable, set()).update(entry.get("functions", ()))
            for mark in entry.get("causes", ()):
                self.of_class.setdefault(mark, set()).add(variable)

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is known; its entries are then used."""
        known = self.knows(finding)
        if known:
            self.used |= {finding.fingerprint(), finding.variable}
        return known

    def knows(self, finding: Finding) -> bool:
        if finding.severity <= self.worst.get(finding.fingerprint(), Severity.OFF):
            return True
        if self.functions.get(finding.variable, set()).issuperset(functions_of(finding)) and (
            finding.severity <= self.worst[finding.variable]
            or self.lines[finding.variable].issuperset(lines_of(finding))
        ):
            return True
        return any(len(self.of_class.get(mark, ())) >= ENOUGH for mark in classes(finding))

    def gone(self, running: Collection[str] | None = None) -> int:
        """How many of the variables and other findings did not come again, among those of running rules."""
        judged = [each for each in self.entries.items() if running is None or each[1].get("rule") in running]
        return len({name_of(*each) for each in judged} - self.used)


def name_of(fingerprint: str, entry: Mapping[str, Any]) -> str:
    """The variable, or for a finding of no variable its fingerprint."""
    return entry.get("variable") or fingerprint


def classes(finding: Finding) -> Iterator[str]:
    return (mark for mark in finding.causes if mark.startswith("class "))


def lines_of(finding: Finding) -> list[str]:
    return sorted({place.source().strip() for place in finding.places()})


def functions_of(finding: Finding) -> list[str]:
    """The functions of both sides; for methods the classes, whose methods meet in ever new pairs."""
    return sorted({f"{file_name(place)}:{unit(place.function)}" for place in finding.places()})


def unit(function: str) -> str:
    owner = function.rpartition(".")[0]
    return owner if owner and not owner.endswith("<locals>") else function


def severity_of(entry: Mapping[str, Any]) -> Severity:
    return Severity[entry["severity"].upper()]


def write_baseline(findings: Sequence[Finding], path: str, before: Entries = MappingProxyType({})) -> None:
    """List the findings by fingerprint; of two with the same one, the worse.

    What the baseline `before` and the file itself list stays: another run of the same program has another
    schedule, and finds other things.
    """
    known: dict[str, Mapping[str, Any]] = {**before, **listed_in(path)}
    for finding in sorted(findings, key=lambda finding: finding.severity):
        fingerprint = finding.fingerprint()
        old = known.get(fingerprint)
        if old is None or severity_of(old) <= finding.severity:
            known[fingerprint] = entry_of(finding, old.get("lines", ()) if old else ())
    Path(path).write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")


def entry_of(finding: Finding, lines: Sequence[str]) -> dict[str, Any]:
    entry = {
        "severity": str(finding.severity),
        "rule": finding.rule,
        "message": finding.message,
        "place": str(finding.place),
    }
    if not finding.variable:
        return entry
    return {
        **entry,
        "variable": finding.variable,
        "lines": sorted({*lines, *lines_of(finding)}),
        "functions": functions_of(finding),
        "causes": list(classes(finding)),
    }


def listed_in(path: str) -> Entries:
    """The entries of a baseline that is there already."""
    return read_entries(path) if os.path.exists(path) and os.path.getsize(path) else {}


def read_entries(path: str) -> Entries:
    """The entries of a baseline by fingerprint; SuppressionError if it cannot be read."""
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        for entry in listed.values():
            severity_of(entry)
        return dict(listed)
    except OSError as error:
        raise SuppressionError(f"cannot read the baseline {path!r}: {error.strerror}") from None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise SuppressionError(
            f"{path!r} is not a baseline ({error}); make one with --write-baseline"
        ) from None


def read_baseline(path: str) -> dict[str, Severity]:
    """{fingerprint: severity}."""
    return {fingerprint: severity_of(entry) for fingerprint, entry in read_entries(path).items()}
