"""From samples to verdicts: hysteresis, minimum samples, other limits, structures that fail or die."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field

import pytest

from threadproof.findings import Severity
from threadproof.stats import Registry, Stats, duration
from threadproof.watch import CHECKS, Check, Limits, Reading, Window
from threadproof.watch.engine import UNKNOWN, Engine


@dataclass(frozen=True, slots=True)
class DelayStats(Stats):
    """A level."""

    delay: float = field(metadata=duration("how long it takes"))


class Remote:
    """A structure with a level; below 0 its check cannot judge, and without one its stats() raises."""

    level: float | None = 0.0

    def stats(self) -> DelayStats:
        if self.level is None:
            raise OSError("no connection")
        return DelayStats(self.level)


def measure(window: Window, limits: Limits) -> Reading | None:
    return None if window.last("delay") < 0 else Reading(window.last("delay"), "it takes long")


DELAY = Check(
    name="delay",
    message="{structure} is late",
    unit="seconds",
    needs=frozenset({"delay"}),
    limits=Limits(warn=10, critical=100, clear=0.5, samples=2, times=2),
    measure=measure,
    fix="be earlier",
    page="Late.",
)


class Ward:
    """One structure, one check."""

    def __init__(self) -> None:
        self.registry, self.remote = Registry(), Remote()
        self.registry.add(self.remote, "remote")
        self.engine = Engine(self.registry, [DELAY])

    def words(self, *levels: float | None) -> list[str]:
        """The verdict after each of the levels."""
        found = []
        for level in levels:
            self.remote.level = level
            self.engine.evaluate()
            found.append(self.engine.verdicts[-1].word if self.engine.verdicts else "none")
        return found


def test_a_finding_takes_enough_samples_and_several_high_readings() -> None:
    assert Ward().words(50, 50, 50, 50) == ["unknown", "ok", "warning", "warning"]
    assert Ward().words(0, 0, 50, 0, 50, 0) == ["unknown", *["ok"] * 5]


def test_a_finding_ends_only_far_below_its_limit() -> None:
    assert Ward().words(50, 50, 50, 9, 6, 4, 9) == ["unknown", "ok", *["warning"] * 3, "ok", "ok"]


def test_it_may_become_worse_and_better() -> None:
    ward = Ward()
    ward.words(0, 50, 50)
    raised = []
    for level in (50, 500, 500, 50, 1):
        ward.remote.level = level
        changes = ward.engine.evaluate()
        raised.append(([str(each.severity) for each in changes.raised], len(changes.cleared)))
    assert raised == [([], 0), (["error"], 0), ([], 0), ([], 0), ([], 1)]


def test_where_it_cannot_judge_a_finding_stays_for_a_while() -> None:
    words = Ward().words(50, 50, 50, *[-1.0] * (UNKNOWN + 1))
    assert words[2:] == ["warning", *["warning"] * UNKNOWN, "unknown"]


def test_a_finding_has_its_place_its_figures_and_its_runbook() -> None:
    ward = Ward()
    ward.words(50, 50, 50)
    (finding,) = ward.engine.findings
    assert (finding.rule, finding.severity, finding.message) == ("delay", Severity.WARNING, "remote is late")
    assert finding.place.file == __file__
    assert "it takes long" in finding.why
    assert "docs/runbooks/delay.md" in finding.why


def test_stats_that_raise_are_counted_and_the_others_are_judged() -> None:
    ward, other = Ward(), Remote()
    ward.registry.add(other, "other")
    ward.remote.level = None
    assert ward.engine.evaluate().failures == 1
    assert [verdict.structure for verdict in ward.engine.verdicts] == ["other"]


def test_it_keeps_no_structure_alive_and_a_new_one_begins_anew() -> None:
    ward = Ward()
    ward.words(50, 50, 50)
    gone = weakref.ref(ward.remote)
    ward.remote = Remote()
    gc.collect()
    assert gone() is None
    ward.registry.add(ward.remote, "remote")
    assert ward.words(50, 50) == ["unknown", "ok"]


def test_limits_can_be_changed_and_checks_left_out() -> None:
    ward = Ward()
    ward.engine = Engine(ward.registry, [DELAY], {"delay": {"warn": 1, "times": 1}})
    assert ward.words(1, 1) == ["unknown", "warning"]
    ward.engine = Engine(ward.registry, CHECKS, {check.name: None for check in CHECKS})
    assert ward.words(1, 1) == ["none", "none"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"leek": None}, "there is no check 'leek'; they are bad-hashes, "),
        ({"leak": {"warm": 1.0}}, "leak has no limit 'warm'; its limits are warn, critical,"),
    ],
)
def test_unknown_checks_and_limits_are_refused(
    limits: dict[str, dict[str, float] | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Engine(Registry(), limits=limits)
