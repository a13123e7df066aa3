"""A fingerprint identifies one mistake, in this run and the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.findings.examples import EXAMPLES
from threadproof.findings import Finding, Place, Severity, Step

RACE = EXAMPLES[0]


def test_lines_that_move_and_a_folder_that_is_renamed_change_nothing() -> None:
    def moved(place: Place) -> Place:
        return replace(place, file=place.file.replace("golden", "elsewhere"), line=place.line + 10)

    steps = [replace(step, stack=[moved(place) for place in step.stack]) for step in RACE.steps]
    assert replace(RACE, steps=steps).fingerprint() == RACE.fingerprint()


def test_the_order_of_the_threads_and_the_rule_change_nothing() -> None:
    read, write, *rest = RACE.steps
    assert replace(RACE, steps=[write, read, *rest]).fingerprint() == RACE.fingerprint()
    assert replace(RACE, rule="lost-update", times=9).fingerprint() == RACE.fingerprint()


def test_where_a_thread_was_started_changes_nothing() -> None:
    assert replace(RACE, steps=RACE.steps[:2]).fingerprint() == RACE.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        replace(RACE, subject="Account.owner"),
        replace(RACE, steps=[*RACE.steps, Step("another", [Place("bank.py", 1, "close")])]),
        replace(RACE, steps=[], place=Place("shop.py", 11, "Account.pay")),
    ],
)
def test_another_variable_function_or_file_is_another_mistake(other: Finding) -> None:
    assert other.fingerprint() != RACE.fingerprint()


def test_a_finding_without_a_subject_is_identified_by_its_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n\ntwo\none\n")
    places = [Place(str(tmp_path / "a.py"), line) for line in (1, 3, 4)]
    one, two, again = (Finding("rule", Severity.NOTE, "", place).fingerprint() for place in places)
    assert one == again != two
