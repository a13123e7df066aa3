"""Comments, files and baselines suppress findings, and those that suppress none are reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.findings.examples import EXAMPLES
from threadproof.findings import Finding, Place, Severity, Step
from threadproof.findings.baseline import read_baseline, write_baseline
from threadproof.findings.suppress import (
    SuppressionError,
    Suppressions,
    comments_in,
    read_suppressions,
)

RACE = EXAMPLES[0]
RULES = {"check-then-act", "lost-update"}


def suppressions_of(tmp_path: Path, text: str) -> Suppressions:
    (tmp_path / "races.txt").write_text(text)
    return Suppressions("race", read_suppressions(str(tmp_path / "races.txt"), RULES))


@pytest.mark.parametrize(
    "line",
    [
        "rule:check-then-act",
        "class:check-then-act",  # the former names of this condition
        "kind:check-then-act",
        "rule:check-*",
        "variable:Account.*",
        "function:Account.pay",
        "caller:run",
        "file:*/golden/bank.txt",
        f"fingerprint:{RACE.fingerprint()}",
        "rule:check-then-act variable:Account.balance caller:run",
    ],
)
def test_a_suppression_covers_findings_for_which_all_its_conditions_hold(tmp_path: Path, line: str) -> None:
    suppressed = suppressions_of(tmp_path, f"# comment\n\n{line}  # known, see #12\n").suppressed(RACE)
    assert suppressed
    assert (suppressed.where, suppressed.reason) == (f"{tmp_path}/races.txt:3", "known, see #12")
    assert not suppressed.in_source


@pytest.mark.parametrize(
    "line",
    [
        "rule:lost-update",
        "variable:account.*",
        "function:run",
        "rule:check-then-act variable:x",
        "file:bank.txt",
    ],
)
def test_a_suppression_with_a_condition_that_fails_covers_nothing(tmp_path: Path, line: str) -> None:
    suppressions = suppressions_of(tmp_path, line)
    assert suppressions.suppressed(RACE) is None
    assert suppressions.unused([]) == [f"{tmp_path}/races.txt:1: the line suppressed nothing"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("race:Account", "races.txt:1: 'race' is not a condition; write one of rule, variable, function,"),
        ("Account.pay", "races.txt:1: 'Account.pay' is not a condition"),
        ("rule:", "races.txt:1: 'rule' is not a condition"),
        ("rule:lost-updates", "there is no rule 'lost-updates', but check-then-act, lost-update"),
    ],
)
def test_a_line_that_is_no_suppression_is_named(tmp_path: Path, line: str, error: str) -> None:
    with pytest.raises(SuppressionError) as raised:
        suppressions_of(tmp_path, line)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SuppressionError, match=r"cannot read the suppressions 'nowhere\.txt'"):
        read_suppressions("nowhere.txt", RULES)
    with pytest.raises(SuppressionError, match=r"cannot read the baseline 'nowhere\.json'"):
        read_baseline("nowhere.json")


# --- comments ---


def at(file: Path, line: int, rule: str = "lost-update") -> Finding:
    place = Place(str(file), line, "f")
    return Finding(rule, Severity.ERROR, "", place, [Step("", [place])], subject="x")


@pytest.mark.parametrize(
    ("source", "covered"),
    [
        ("x += 1  # race: ignore\n", {"lost-update", "check-then-act"}),
        ("x += 1  # race: ignore because\n", {"lost-update", "check-then-act"}),
        ("x += 1  # race: ignore[lost-update] why\n", {"lost-update"}),
        ("x += 1  # noqa  # race: ignore[lost-update, check-then-act]\n", {"lost-update", "check-then-act"}),
        ("x += 1  # race: ignored\n", set()),
        ("x += 1  # lint: ignore\n", set()),
        ("x = '# race: ignore'\n", set()),
    ],
)
def test_a_comment_covers_its_line_and_its_rules(tmp_path: Path, source: str, covered: set[str]) -> None:
    (tmp_path / "a.py").write_text(source)
    suppressions = Suppressions("race")
    found = {rule for rule in RULES if suppressions.suppressed(at(tmp_path / "a.py", 1, rule))}
    assert found == covered


def test_a_comment_alone_on_a_line_covers_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# race: ignore[lost-update] counted twice is fine\nx += 1\nx += 2\n")
    suppressions = Suppressions("race")
    suppressed = suppressions.suppressed(at(tmp_path / "a.py", 2))
    assert suppressed
    assert suppressed.in_source
    assert suppressed.reason == "counted twice is fine"
    assert suppressions.suppressed(at(tmp_path / "a.py", 3)) is None


def test_a_comment_on_either_side_is_enough_and_one_that_suppresses_nothing_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1  # race: ignore\nx = 2\nx = 3  # race: ignore\n")
    both = replace(at(file, 2), steps=[Step("", [Place(str(file), line)]) for line in (2, 1)])
    suppressions = Suppressions("race")
    assert [finding.suppressed is None for finding in suppressions.apply([both, at(file, 2)])] == [
        False,
        True,
    ]
    assert suppressions.unused([str(file)]) == [f"{file}:3: the comment suppressed nothing"]


def test_a_comment_with_a_rule_that_does_not_exist_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1  # race: ignore[lost-updat]\nx = 2  # race: ignore[lost-update, sleepy]\n")
    suppressions = Suppressions("race", rules=RULES)
    assert suppressions.suppressed(at(file, 2))
    assert suppressions.unused([str(file)]) == [
        f"{file}:1: warning: there is no rule 'lost-updat'; is it lost-update?",
        f"{file}:2: warning: there is no rule 'sleepy'",
    ]


def test_only_suppressions_of_rules_that_ran_are_judged(tmp_path: Path) -> None:
    file, listed = tmp_path / "a.py", tmp_path / "listed.txt"
    file.write_text("x  # race: ignore[lost-update]\nx  # race: ignore[check-then-act]\nx  # race: ignore\n")
    listed.write_text("rule:lost-* file:b.py\nrule:check-* file:b.py\nfile:b.py\n")
    suppressions = Suppressions("race", read_suppressions(str(listed), RULES), rules=RULES)
    assert suppressions.unused([str(file)], ["lost-update"]) == [
        f"{file}:1: the comment suppressed nothing",
        f"{listed}:1: the line suppressed nothing",
        f"{listed}:3: the line suppressed nothing",
    ]
    assert len(suppressions.unused([str(file)], RULES)) == 6


def test_a_file_that_is_not_python_has_no_comments(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = (  # race: ignore\n")
    assert list(comments_in(str(tmp_path / "gone.py"), "race")) == []
    assert [comment.line for comment in comments_in(str(tmp_path / "a.py"), "race")] == [1]


# --- baseline ---


def test_a_baseline_covers_what_it_lists_until_that_becomes_worse(tmp_path: Path) -> None:
    file = str(tmp_path / "known.json")
    note, warning, error = (
        replace(RACE, severity=severity) for severity in (Severity.NOTE, Severity.WARNING, Severity.ERROR)
    )
    write_baseline([warning], file)
    suppressions = Suppressions("race", baseline=file)
    assert suppressions.suppressed(note)
    assert suppressions.suppressed(warning)
    assert suppressions.suppressed(error) is None


def test_a_baseline_keeps_the_worse_of_two_with_rule_and_message(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    write_baseline([RACE, replace(RACE, severity=Severity.NOTE)], str(file))
    assert read_baseline(str(file)) == {RACE.fingerprint(): Severity.ERROR}
    (entry,) = json.loads(file.read_text()).values()
    assert entry["rule"] == "check-then-act"
    assert entry["message"] == RACE.message


def test_what_does_not_come_again_is_counted(tmp_path: Path) -> None:
    file = str(tmp_path / "known.json")
    write_baseline(EXAMPLES, file)
    suppressions = Suppressions("race", baseline=file)
    suppressions.apply([RACE])
    assert suppressions.unused([]) == [f"{file}: 2 of its findings did not come again"]


def test_what_comes_again_under_a_comment_has_come_again(tmp_path: Path) -> None:
    source, file = tmp_path / "a.py", str(tmp_path / "known.json")
    source.write_text("x += 1  # race: ignore\n")
    write_baseline([at(source, 1)], file)
    suppressions = Suppressions("race", baseline=file)
    suppressed = suppressions.suppressed(at(source, 1))
    assert suppressed
    assert suppressed.in_source
    assert suppressions.unused([]) == []


@pytest.mark.parametrize("text", ["", "[]", "{}x", '{"a": {}}', '{"a": {"severity": "bad"}}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(SuppressionError, match="is not a baseline"):
        read_baseline(str(tmp_path / "known.json"))
