"""Check: one kind of illness, as a value: which metrics show it, and from which level it is a finding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from threadproof.findings import Finding, Place, Rule, Severity
from threadproof.watch.window import Window

RUNBOOKS = "docs/runbooks"  # in this repository, where the pages are


@dataclass(frozen=True)
class Limits:
    """From which level a reading is a finding, and when it ends. Higher is worse, for every check."""

    warn: float  # a warning from here
    critical: float = math.inf  # an error from here
    clear: float = 0.8  # a finding ends below this share of `warn`, so that it does not come and go
    samples: int = 2  # fewest samples
    least: float = 0  # fewest keys, calls or whatever the check counts; below, nothing is judged
    times: int = 1  # evaluations in a row at or above `warn` before there is a finding

    def severity(self, level: float) -> Severity:
        """OFF below `warn`."""
        if level >= self.critical:
            return Severity.ERROR
        return Severity.WARNING if level >= self.warn else Severity.OFF


@dataclass(frozen=True)
class Reading:
    """How bad it is, and the figures that show it, in one line."""

    level: float
    evidence: str = ""


Measure = Callable[[Window, Limits], Reading | None]


@dataclass(frozen=True)
class Check:
    """A check. `measure` returns None if the window shows too little to judge."""

    name: str
    message: str  # with {structure}
    unit: str  # of the level
    needs: frozenset[str]  # the metrics that a structure must have; a check of no metric is for all maps
    limits: Limits
    measure: Measure
    fix: str
    page: str  # what its module's docstring says: the runbook
    least: str = ""  # the unit of `limits.least`
    any_of: frozenset[str] = frozenset()  # and at least one of these
    promql: str = ""  # the level from the exported metrics; empty if only a Monitor can judge

    @cached_property
    def rule(self) -> Rule:
        """The check as the rule of its findings."""
        url = f"{RUNBOOKS}/{self.name}.md"
        return Rule(self.name, Severity.WARNING, self.message, self.fix, self.page.strip(), url)

    def applies(self, fields: frozenset[str]) -> bool:
        """Whether a structure with these metrics can have the illness."""
        return self.needs <= fields and (not self.any_of or bool(self.any_of & fields))

    def read(self, window: Window, limits: Limits) -> Reading | None:
        """The level, or None with too few samples, or too little else."""
        return self.measure(window, limits) if len(window) >= limits.samples else None

    def finding(self, window: Window, reading: Reading, severity: Severity, why: str = "") -> Finding:
        """The finding at the call that named the structure."""
        found = self.rule.finding(
            place_of(window),
            structure=window.label,
            subject=window.label,
            identity=f"{self.name} {window.label}",
            why=". ".join(filter(None, [reading.evidence, why, f"Runbook: {self.rule.url}"])),
        )
        return replace(found, severity=severity)


def place_of(window: Window) -> Place:
    """Where it was named; for a structure without a name there is no place, and its label stands there."""
    if window.site is None:
        return Place("", 1, shown=window.label)
    return Place(window.site.file, window.site.line, window.site.function)


def needs(*fields: str) -> frozenset[str]:
    return frozenset(fields)


def with_limits(checks: Iterable[Check], given: Mapping[str, Mapping[str, float] | None]) -> list[Check]:
    """The checks with other limits: {"stale-keys": {"warn": 0.5}, "leak": None}; None leaves a check out."""
    listed = list(checks)
    names = [check.name for check in listed]
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"there is no check {unknown[0]!r}; they are {', '.join(sorted(names))}")
    kept = [check for check in listed if given.get(check.name, {}) is not None]
    return [limited(check, given.get(check.name) or {}) for check in kept]


def limited(check: Check, changes: Mapping[str, float]) -> Check:
    fields = list(Limits.__dataclass_fields__)
    if unknown := sorted(set(changes) - set(fields)):
        raise ValueError(f"{check.name} has no limit {unknown[0]!r}; its limits are {', '.join(fields)}")
    values: dict[str, Any] = dict(changes)
    return replace(check, limits=replace(check.limits, **values))


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"
