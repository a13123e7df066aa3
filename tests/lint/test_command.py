"""`threadproof lint` as its users call it: options, outputs, exit codes, and what it does to files."""

from __future__ import annotations

import io
import json
import linecache
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.kit.waiting import until
from tests.lint.sources import COUNTER
from threadproof.cli import main
from threadproof.findings import Finding, Place, Severity
from threadproof.findings.formats.json import as_json
from threadproof.lint.findings import linter

Captured = pytest.CaptureFixture[str]

# One finding that is on by default and has a safe fix, and one of --preview.
LATE = """\
import threading

def start(names):
    for name in names:
        threading.Thread(target=lambda: print(name)).start()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    linecache.clearcache()  # every test has files of these names
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THREADPROOF_LINT", raising=False)
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "counter.py").write_text(COUNTER)
    return tmp_path


def lint(*arguments: str) -> int:
    return main(["lint", *arguments])


def lines(captured: Captured) -> list[str]:
    return captured.readouterr().out.splitlines()


def concise(captured: Captured, *arguments: str) -> tuple[int, list[str]]:
    code = lint("--output-format", "concise", *arguments)
    return code, lines(captured)


def refused(capsys: Captured, *arguments: str) -> str:
    """The one line of an error before anything was linted."""
    try:
        code: object = lint(*arguments)
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    return error


# --- which rules, which findings ---


def test_rules_of_preview_run_only_if_asked_for(capsys: Captured) -> None:
    assert concise(capsys) == (
        1,
        ["late.py:5:47: CM301 lambda runs when the loop has gone on, and then finds the last name"],
    )
    code, found = concise(capsys, "--preview")
    assert code == 1
    assert [line.split()[1] for line in found] == ["CM103", "CM301"]  # CM203 would report the same line


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["--select", "CM103"], ["CM103"]),
        (["--select", "CM2,CM3"], ["CM203", "CM301"]),
        (["--select", "lost-update"], ["CM103"]),
        (["--extend-select", "CM103"], ["CM103", "CM301"]),
        (["--preview", "--ignore", "CM1,CM3"], ["CM203"]),
        (["--preview", "--per-file-ignores", "late.py:CM301;count*.py:CM103"], ["CM203"]),
        (["--preview", "--exclude", "counter.py"], ["CM301"]),
        (["--preview", "--min-confidence", "1"], ["CM301"]),
        (["late.py", "--select", "ALL"], ["CM301"]),
    ],
)
def test_options_choose_rules_and_files(options: list[str], codes: list[str], capsys: Captured) -> None:
    _, found = concise(capsys, *options)
    assert [line.split()[1] for line in found] == codes


def test_pyproject_has_the_same_options(folder: Path, capsys: Captured) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.threadproof.lint]\nselect = ["CM1", "CM3"]\nper-file-ignores = { "late.py" = ["CM301"] }\n'
    )
    _, found = concise(capsys)
    assert [line.split()[1] for line in found] == ["CM103"]
    (folder / "pyproject.toml").write_text('[tool.threadproof.lint]\nselct = ["CM1"]\n')
    assert "selct" in refused(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--select", "CM999"], "there is no rule 'CM999'"),
        (["--select", "lost-updat"], "is it lost-update?"),
        (["nowhere.py"], "there is no file or folder 'nowhere.py'"),
        (["--min-confidence", "2"], "0 to 1"),
        (["--output-format", "html"], "write text, concise"),
        (["--diff-base", "HEAD"], "git"),
        (["--with-races", "none.json"], "none.json"),
        (["--jobs", "0"], "no number from 1"),
        (["--explain", "CM999"], "there is no rule 'CM999'"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_that_names_it(
    arguments: list[str], words: str, capsys: Captured
) -> None:
    assert words in refused(capsys, *arguments)


def test_severity_sets_the_exit_code_and_hides_nothing(capsys: Captured) -> None:
    code, found = concise(capsys, "--select", "CM103", "--severity", "error")
    assert (code, len(found)) == (0, 1)


# --- outputs ---


def test_the_report_shows_both_sides_and_a_way_out(capsys: Captured) -> None:
    lint("--select", "CM203")
    text = capsys.readouterr().out
    assert "self.n is guarded by self._lock in 2 of 3 places, not here" in text
    assert "counter.py:10, in Counter.add" in text
    assert "fix: hold self._lock here too" in text


def test_every_format_has_the_finding(capsys: Captured) -> None:
    def output(name: str) -> str:
        assert lint("late.py", "--output-format", name) == 1
        return capsys.readouterr().out

    assert json.loads(output("json"))["findings"][0]["rule"] == "CM301"
    result = json.loads(output("sarif"))["runs"][0]["results"][0]
    assert result["ruleId"] == "CM301"
    assert json.loads(output("gitlab"))[0]["location"] == {"path": "late.py", "lines": {"begin": 5}}
    assert ElementTree.fromstring(output("junit")).find(".//failure") is not None
    assert output("github").startswith("::error file=late.py,line=5,title=CM301,col=47")


def test_statistics_count_findings_by_rule(capsys: Captured) -> None:
    assert lint("--preview", "--statistics") == 1
    assert [line.split()[:2] for line in lines(capsys)] == [["1", "CM103"], ["1", "CM301"]]


def test_explain_prints_a_page_and_rules_a_line_for_each(capsys: Captured) -> None:
    assert lint("--explain", "CM301") == 0
    assert capsys.readouterr().out.startswith("# CM301 late-binding-thread-closure\n")
    assert lint("--rules") == 0
    assert sum("CM301" in line for line in lines(capsys)) == 1


# --- standard input ---


def read_from(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_standard_input_has_the_name_it_is_given(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    read_from(LATE, monkeypatch)
    code, found = concise(capsys, "--stdin-filename", "a/b.py", "-")
    assert (code, found[0][:10]) == (1, "a/b.py:5:4")


def test_a_fix_of_standard_input_is_standard_output(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from(LATE, monkeypatch)
    assert lint("--fix", "-") == 0
    assert capsys.readouterr().out == LATE.replace("lambda:", "lambda name=name:")


# --- fixes and comments ---


def test_fix_changes_only_what_it_must(folder: Path, capsys: Captured) -> None:
    data = (
        LATE.replace("\n", "\r\n")
        .encode("latin-1")
        .replace(b"import", b"# coding: latin-1\r\n# \xe9\r\nimport", 1)
    )
    (folder / "late.py").write_bytes(data)
    assert lint("late.py", "--fix") == 0
    assert (folder / "late.py").read_bytes() == data.replace(b"lambda:", b"lambda name=name:")


def test_diff_shows_the_fix_and_writes_nothing(folder: Path, capsys: Captured) -> None:
    assert lint("late.py", "--diff") == 1
    assert "+        threading.Thread(target=lambda name=name: print(name)).start()" in lines(capsys)
    assert (folder / "late.py").read_text() == LATE


def test_a_suppressed_finding_is_not_fixed(folder: Path) -> None:
    text = LATE.replace(".start()", ".start()  # noqa: CM301")
    (folder / "late.py").write_text(text)
    assert lint("late.py", "--fix") == 0
    assert (folder / "late.py").read_text() == text


def test_add_noqa_makes_the_next_run_silent(folder: Path, capsys: Captured) -> None:
    assert lint("--preview", "--add-noqa") == 0
    assert (folder / "counter.py").read_text().endswith("self.n += 5  # noqa: CM103\n")
    assert lint("--preview") == 0


@pytest.mark.parametrize(
    "comment", ["# noqa", "# noqa: E501,CM301", "# lint: ignore[CM301] they are joined", "# lint: ignore[CM]"]
)
def test_a_comment_suppresses(comment: str, folder: Path, capsys: Captured) -> None:
    (folder / "late.py").write_text(LATE.replace(".start()", f".start()  {comment}"))
    assert concise(capsys, "late.py")[0] == ("[CM]" in comment)


def test_an_unused_suppression_is_reported(folder: Path, capsys: Captured) -> None:
    (folder / "late.py").write_text("x = 1  # noqa: CM301\ny = 2  # noqa: E501\nz = '# noqa: CM301'\n")
    code, found = concise(capsys, "late.py")
    assert (code, found) == (1, ["late.py:1:8: CM001 unused-suppression: `# noqa: CM301` suppresses nothing"])
    assert concise(capsys, "late.py", "--ignore", "CM3")[0] == 0  # the rule that it is for does not run


def test_a_baseline_hides_what_was_there(folder: Path, capsys: Captured) -> None:
    assert lint("--write-baseline", "baseline.json") == 1
    assert lint("--baseline", "baseline.json") == 0
    (folder / "more.py").write_text(LATE)
    capsys.readouterr()
    _, found = concise(capsys, "--baseline", "baseline.json")
    assert [line.partition(":")[0] for line in found] == ["more.py"]


def git(folder: Path, *words: str) -> None:
    names = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def test_diff_base_reports_what_a_change_introduced(folder: Path, capsys: Captured) -> None:
    git(folder, "init")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "begin")
    assert concise(capsys, "--preview", "--diff-base", "HEAD") == (0, [])
    (folder / "counter.py").write_text(COUNTER + "\n    def double(self):\n        self.n *= 2\n")
    (folder / "new.py").write_text(LATE)
    _, found = concise(capsys, "--preview", "--diff-base", "HEAD")
    assert {line.partition(":")[0] for line in found} == {"counter.py", "new.py"}


# --- more than one run ---


def test_a_second_run_reads_the_cache_and_a_change_is_seen(folder: Path, capsys: Captured) -> None:
    first = concise(capsys)
    assert concise(capsys) == first
    assert (folder / ".threadproof_cache" / "lint" / "runs").exists()
    (folder / "late.py").write_text("x = 1\n")
    assert concise(capsys) == (0, [])


def test_a_broken_cache_is_as_none(folder: Path, capsys: Captured) -> None:
    first = concise(capsys)
    for data in (b"\x80\x05broken", pickle.dumps({"a key": "of another version"}), pickle.dumps(("a", 1, 2))):
        for name in ("runs", "facts"):
            (folder / ".threadproof_cache" / "lint" / name).write_bytes(data)
        assert concise(capsys) == first


def test_processes_find_what_one_finds(folder: Path, capsys: Captured) -> None:
    for number in range(60):  # more than FEW_FILES
        (folder / f"late{number}.py").write_text(LATE)
        (folder / f"counter{number}.py").write_text(COUNTER)
    one = concise(capsys, "--preview", "--no-cache", "--jobs", "1")
    assert concise(capsys, "--preview", "--no-cache", "--jobs", "2") == one
    assert len(one[1]) == 61 * 2


def test_watch_lints_again_when_a_file_changes(folder: Path) -> None:
    (folder / "counter.py").unlink()
    command = [
        sys.executable,
        "-m",
        "threadproof",
        "lint",
        "--watch",
        "--output-format",
        "concise",
        "late.py",
    ]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log) as process:
        try:
            until(lambda: (folder / "log").read_text().count("CM301") == 1)
            (folder / "late.py").write_text("#\n" + LATE)
            until(lambda: "late.py:6:47: CM301" in (folder / "log").read_text())
        finally:
            process.terminate()


def test_infer_proposes_what_the_code_keeps(folder: Path, capsys: Captured) -> None:
    (folder / "counter.py").write_text(COUNTER.partition("    def reset")[0])
    assert lint("--infer") == 0
    assert lines(capsys) == ['counter.py:6: Counter.n: Annotated[..., GuardedBy("_lock")]  # 2 of 2 places']


def test_a_race_that_was_seen_makes_a_finding_certain(folder: Path, capsys: Captured) -> None:
    place = Place("counter.py", 17, "Counter.reset")
    race = Finding("lost-update", Severity.ERROR, "Counter.n is written by two threads", place)
    (folder / "races.json").write_text(as_json([race], linter()))
    assert concise(capsys, "--preview", "--min-confidence", "1")[1][-1].startswith("late.py")
    _, found = concise(capsys, "--preview", "--min-confidence", "1", "--with-races", "races.json")
    assert [line.split()[1] for line in found] == ["CM103", "CM301"]
