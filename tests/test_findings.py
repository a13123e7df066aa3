"""How findings are printed, whichever tool made them."""

from __future__ import annotations

import json
import linecache
from dataclasses import replace
from pathlib import Path

import pytest

from threadproof.findings import Finding, Place, Severity, Step, as_json, as_sarif, as_text


@pytest.fixture
def finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finding:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text("def pay(account):\n    account.balance += 1\n")
    place = Place(str(tmp_path / "app.py"), 2, "pay", 4, 19)
    steps = [
        Step("write by one", [place, Place(str(tmp_path / "app.py"), 1, "<module>")]),
        Step("nothing more is known"),
    ]
    return Finding(
        "lost-update",
        Severity.ERROR,
        "Account.balance is updated twice",
        place,
        steps,
        "nothing orders them",
        "lock it",
    )


def test_text_has_source_with_carets_and_the_callers(finding: Finding) -> None:
    assert as_text(finding).splitlines() == [
        "app.py:2: error: lost-update: Account.balance is updated twice",
        "  write by one:",
        "    app.py:2, in pay",
        "        account.balance += 1",
        "        ^^^^^^^^^^^^^^^",
        "    called from app.py:1, in <module>",
        "  nothing more is known",
        "  why: nothing orders them",
        "  fix: lock it",
    ]


def test_json_has_every_field(finding: Finding) -> None:
    (read,) = json.loads(as_json([finding]))
    assert read["severity"] == "error"
    assert read["place"]["line"] == 2
    assert read["steps"][0]["stack"][1]["function"] == "<module>"


def test_sarif_has_the_stacks_outermost_first(finding: Finding) -> None:
    (run,) = json.loads(as_sarif([finding], "tool", "1.0"))["runs"]
    (result,) = run["results"]
    (flow,) = result["codeFlows"][0]["threadFlows"]
    lines = [step["location"]["physicalLocation"]["region"]["startLine"] for step in flow["locations"]]
    assert lines == [1, 2]
    assert run["tool"]["driver"]["rules"] == [{"id": "lost-update"}]


def test_a_fingerprint_survives_lines_that_move_and_not_code_that_changes(
    finding: Finding, tmp_path: Path
) -> None:

    before = finding.fingerprint()
    (tmp_path / "app.py").write_text("# a comment\ndef pay(account):\n    account.balance += 1\n")
    linecache.checkcache()
    moved = replace(finding, steps=[Step("", [replace(finding.place, line=3)])])
    assert moved.fingerprint() == before
    assert replace(moved, rule="check-then-act").fingerprint() != before
