"""Engine: takes a sample of every watched structure, and keeps for each check and structure how it stands.

Field    | written                 | read
---------|-------------------------|---------------------------------
_records | under the lock          | under the lock
verdicts | replaced under the lock | without: the tuple never changes

stats() of structures, which may be user code, runs under the lock. Only the engine's own methods take it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from threadproof.findings import Finding, Severity
from threadproof.stats import HasStats, ProcessStats, Registry, Stats, Watched, process, registry
from threadproof.watch.checks import CHECKS, Check
from threadproof.watch.checks.check import with_limits
from threadproof.watch.key_sampling import HotKeys
from threadproof.watch.window import History, Window

LENGTH = 30  # samples that are kept: five minutes at the monitor's interval of 10 s
UNKNOWN = 3  # evaluations for which a finding stays although its check cannot judge: traffic may pause

LimitChanges = Mapping[str, Mapping[str, float] | None]


class Process:
    """The process, as a structure to watch."""

    def stats(self) -> ProcessStats:
        """The metrics of the whole process."""
        return process()


@dataclass
class State:
    """How a check of a structure stands."""

    severity: Severity = Severity.OFF
    above: int = 0  # evaluations in a row at or above the limit
    unknown: int = 0  # evaluations in a row without a reading
    finding: Finding | None = None


@dataclass(frozen=True)
class Verdict:
    """The judgement of one check about one structure; `level` is None where it cannot judge."""

    check: str
    structure: str
    severity: Severity  # OFF: well, or unknown
    level: float | None
    finding: Finding | None = None

    @property
    def word(self) -> str:
        """One of ok, warning, error, and unknown where the check cannot judge."""
        if self.severity:
            return str(self.severity)
        return "unknown" if self.level is None else "ok"


@dataclass
class Changes:
    """The result of an evaluation: findings that are new, or worse; and verdicts that have become well."""

    raised: list[Finding] = field(default_factory=list)
    cleared: list[Verdict] = field(default_factory=list)
    failures: int = 0  # structures whose stats() raised


@dataclass
class Record:
    """What is kept of a structure."""

    history: History
    states: dict[str, State] = field(default_factory=dict)


class Engine:
    """Checks the structures of a registry, and the process. Any thread may call its methods."""

    def __init__(
        self,
        watched: Registry = registry,
        checks: Sequence[Check] = CHECKS,
        limits: LimitChanges | None = None,
        length: int = LENGTH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.registry = watched
        self.checks = with_limits(checks, limits or {})
        self.length = max(length, *(check.limits.samples for check in self.checks), 1)
        self.verdicts: tuple[Verdict, ...] = ()
        self._process = Process()
        self._records: dict[int, Record] = {}  # by the address of the structure
        self._applying: dict[type[Stats], list[Check]] = {}
        self._lock = threading.Lock()

    @property
    def findings(self) -> list[Finding]:
        """The findings that there are now, the worst first."""
        found = [verdict.finding for verdict in self.verdicts if verdict.finding is not None]
        return sorted(found, key=lambda finding: -finding.severity)

    def structures(self) -> list[Watched]:
        """What the next evaluation would look at."""
        return [*self.registry.watched(), Watched("process", 1, self._process)]

    def evaluate(self) -> Changes:
        """Take a sample of each structure, and judge. Calls stats() of the structures."""
        changes, verdicts, threads = Changes(), list[Verdict](), threading.active_count()
        watched = self.structures()
        with self._lock:
            self._records = {id(each.structure): self._record(each) for each in watched}
            for each in watched:
                record = self._records[id(each.structure)]
                try:
                    stats = each.structure.stats()
                except Exception:  # a structure of the program's own
                    changes.failures += 1
                    continue
                record.history.add(stats, self.clock(), threads)
                verdicts += self._judge(each, stats, record, changes)
            self.verdicts = tuple(verdicts)
        return changes

    def windows(self) -> list[Window]:
        """The samples so far of each structure that is alive and has some."""
        watched = self.structures()
        with self._lock:
            known = [(each, self._record(each).history) for each in watched]
            return [history.window(each) for each, history in known if history.samples]

    def add_hot_keys(self, structure: HasStats, hot: HotKeys) -> None:
        """Keep the result of a sampling session, for the check of hot keys."""
        with self._lock:
            record = self._records.get(id(structure))
            if record is not None and record.history.is_of(structure):
                record.history.hot_keys = hot

    def _record(self, watched: Watched) -> Record:
        known = self._records.get(id(watched.structure))
        if known is not None and known.history.is_of(watched.structure):
            return known
        return Record(History(watched, self.length))

    def _judge(self, watched: Watched, stats: Stats, record: Record, changes: Changes) -> list[Verdict]:
        window, verdicts = record.history.window(watched), []
        for check in self._checks_for(stats, window):
            state = record.states.setdefault(check.name, State())
            before = state.severity
            verdict = judge(check, window, state)
            verdicts.append(verdict)
            if verdict.finding is not None and verdict.severity > before:
                changes.raised.append(verdict.finding)
            elif before and not verdict.severity:
                changes.cleared.append(verdict)
        return verdicts

    def _checks_for(self, stats: Stats, window: Window) -> list[Check]:
        if type(stats) not in self._applying:
            self._applying[type(stats)] = [each for each in self.checks if each.applies(window.fields)]
        return self._applying[type(stats)]


def judge(check: Check, window: Window, state: State) -> Verdict:
    """Read the window, and move the state: it rises after `times` high readings, and falls below `clear`."""
    limits = check.limits
    reading = check.read(window, limits)
    if reading is None:
        state.above, state.unknown = 0, state.unknown + 1
        if state.unknown > UNKNOWN:
            state.severity, state.finding = Severity.OFF, None
        return Verdict(check.name, window.label, state.severity, None, state.finding)
    severity = limits.severity(reading.level)
    state.unknown, state.above = 0, state.above + 1 if severity else 0
    if severity and (state.above >= limits.times or state.severity):
        state.severity = severity
        state.finding = check.finding(window, reading, severity)
    elif state.severity and reading.level < limits.clear * limits.warn:
        state.severity, state.finding = Severity.OFF, None
    return Verdict(check.name, window.label, state.severity, reading.level, state.finding)
