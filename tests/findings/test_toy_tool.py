"""A second tool, complete in a few lines: two rules, an option of its own, and all that every tool has."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from threadproof.findings import Finding, Place, Rule, Severity
from threadproof.findings.options import Option, Options
from threadproof.findings.reporter import Reporter
from threadproof.findings.tool import Tool

LONG = Rule(
    "long-line",
    Severity.WARNING,
    "a line of {length} characters",
    "break it",
    "Long lines do not fit beside each other.",
    "https://example.org/long-line",
    ["style"],
)
TAB = Rule("tab", Severity.NOTE, "a {character} that is a tab", "use spaces")
TOY = Tool(Options("toy", [Option("width", "characters that fit a line", int, 20)]), [LONG, TAB], "1.0")


def check(path: Path, width: int) -> list[Finding]:
    lines = path.read_text().splitlines()
    places = {number: Place(str(path), number) for number in range(1, len(lines) + 1)}
    found = [
        LONG.finding(places[n], length=len(line)) for n, line in enumerate(lines, 1) if len(line) > width
    ]
    return found + [
        TAB.finding(places[n], character="space") for n, line in enumerate(lines, 1) if "\t" in line
    ]


def run(*arguments: str) -> int:
    parser = ArgumentParser()
    TOY.options.add_arguments(parser)
    parser.set_defaults(**TOY.options.read({}, folder=Path.cwd()))
    options = parser.parse_args(arguments)
    reporter = Reporter(TOY, vars(options))
    source = Path("a.py").absolute()
    findings = reporter.apply(check(source, options.width))
    reporter.publish(findings, reporter.unused([str(source)]))
    return reporter.exit_code(findings)


Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\nlong_name = another_name\nx =\t2\n")
    return tmp_path / "a.py"


def test_its_report_and_its_exit_code(capsys: Captured) -> None:
    assert run("--github") == 66
    report = capsys.readouterr().err
    assert "a.py:2: warning: long-line: a line of 24 characters\n  fix: break it\n" in report
    assert "a.py:3: note: tab: a space that is a tab\n" in report
    assert "::warning file=a.py,line=2,title=long-line::a line of 24 characters" in report
    assert report.endswith("threadproof toy: 1 warning, 1 note\n")


def test_its_option_and_the_severity_from_which_findings_count() -> None:
    assert run("--width", "30") == 0
    assert run("--width", "30", "--severity", "note") == 66
    Path("pyproject.toml").write_text("[tool.threadproof.toy]\nwidth = 30\n")
    assert run() == 0
    assert run("--width", "10") == 66


def test_its_suppressions_and_its_baseline(capsys: Captured) -> None:
    run("--write-baseline", "known.json")
    assert run("--baseline", "known.json") == 0
    Path("toy.txt").write_text("rule:long-line file:a.py  # generated\nrule:tab file:b.py\n")
    assert run("--suppressions", "toy.txt") == 0
    assert "toy.txt:2: the line suppressed nothing" in capsys.readouterr().err


def test_its_comments(source: Path, capsys: Captured) -> None:
    source.write_text("long_name = another_name  # toy: ignore[long-line] a url\nx = 1  # toy: ignore\n")
    assert run() == 0
    assert capsys.readouterr().err == (
        f"threadproof toy: {source}:2: the comment suppressed nothing\nthreadproof toy: 1 suppressed\n"
    )


def test_its_files() -> None:
    run("--json", "a.json", "--sarif", "a.sarif", "--html", "a.html", "--log-path", "a.log")
    assert [finding["rule"] for finding in json.loads(Path("a.json").read_text())["findings"]] == [
        "long-line",
        "tab",
    ]
    (driver,) = (each["tool"]["driver"] for each in json.loads(Path("a.sarif").read_text())["runs"])
    assert (driver["name"], driver["version"]) == ("threadproof toy", "1.0")
    assert driver["rules"][0] == {
        "id": "long-line",
        "help": {"text": "break it"},
        "shortDescription": {"text": "a line of a length characters"},
        "fullDescription": {"text": "Long lines do not fit beside each other."},
        "defaultConfiguration": {"level": "warning"},
        "helpUri": "https://example.org/long-line",
        "properties": {"tags": ["style"]},
    }
    assert "<title>threadproof toy</title>" in Path("a.html").read_text()
    (log,) = Path().glob("a.log.*")
    assert log.read_text().endswith("threadproof toy: 1 warning, 1 note\n")
