"""A baseline knows a race again, whichever threads and functions meet in another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from threadproof.findings import Finding, Place, Severity, Step
from threadproof.findings.baseline import ENOUGH, write_baseline
from threadproof.findings.suppress import Suppressions

CLASS = "class Cache, no lock"


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "cache.py").write_text("self.n += 1\nself.n = 0\nreturn self.n\n")
    return str(tmp_path / "cache.py")


def race(
    source: str, one: int, other: int, variable: str = "n", severity: Severity = Severity.ERROR
) -> Finding:
    """Between two lines, each in a function of its own."""
    first, second = (Place(source, line, f"Cache.f{line}") for line in (one, other))
    return Finding(
        "lost-update",
        severity,
        "",
        first,
        [Step("write", [first]), Step("write", [second])],
        subject=f"Cache.{variable}",
        variable=f"Cache.{variable}",
        causes=[CLASS, f"f{one} and f{other}, no lock"],
    )


def is_known(listed: list[Finding], finding: Finding, tmp_path: Path) -> bool:
    path = str(tmp_path / "known.json")
    Path(path).unlink(missing_ok=True)  # or the entries would add up
    write_baseline(listed, path)
    return Suppressions("race", baseline=path).suppressed(finding) is not None


def test_other_pairs_of_the_listed_functions_of_a_variable_are_known(source: str, tmp_path: Path) -> None:
    listed = [race(source, 1, 2), race(source, 3, 3)]
    assert is_known(listed, race(source, 2, 3), tmp_path)
    plain = replace(race(source, 2, 3), steps=[Step("write", [Place(source, 1, "f")])], causes=[])
    assert not is_known(listed, plain, tmp_path)
    assert not is_known(listed, race(source, 1, 2, "other"), tmp_path)


def test_a_worse_race_is_known_if_all_its_lines_are(source: str, tmp_path: Path) -> None:
    listed = [race(source, 1, 3, severity=Severity.NOTE)]
    assert is_known(listed, race(source, 1, 1), tmp_path)
    changed = Step("write", [Place(source, 2, "Cache.f1")])
    worse = race(source, 1, 1)
    assert not is_known(listed, replace(worse, steps=[changed, *worse.steps]), tmp_path)


def test_lines_of_all_runs_are_kept(source: str, tmp_path: Path) -> None:
    note = race(source, 1, 3, severity=Severity.NOTE)
    same_functions = replace(note, steps=[Step("write", [Place(source, 2, "Cache.f1")]), note.steps[1]])
    path = str(tmp_path / "known.json")
    for each in (note, same_functions):
        write_baseline([each], path)
    suppressions = Suppressions("race", baseline=path)
    worse = race(source, 1, 1)
    assert suppressions.suppressed(replace(worse, steps=[*worse.steps, same_functions.steps[0]]))


def test_a_class_of_which_enough_variables_are_listed_is_known(source: str, tmp_path: Path) -> None:
    listed = [race(source, 1, 1, f"v{number}") for number in range(ENOUGH)]
    another = race(source, 2, 3, "another")
    assert is_known(listed, another, tmp_path)
    assert not is_known(listed[1:], another, tmp_path)
    assert not is_known(listed, replace(another, causes=["class Other, no lock"]), tmp_path)


def test_a_variable_that_raced_again_otherwise_is_not_gone(source: str, tmp_path: Path) -> None:
    path = str(tmp_path / "known.json")
    write_baseline([race(source, 1, 1), race(source, 1, 2), race(source, 1, 1, "gone")], path)
    suppressions = Suppressions("race", baseline=path)
    suppressions.apply([race(source, 2, 1)])
    assert suppressions.unused([]) == [f"{path}: 1 of its findings did not come again"]
