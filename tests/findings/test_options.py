"""An option is declared once; pyproject.toml, configuration, environment and arguments may set it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from threadproof.findings import Severity
from threadproof.findings.options import COMMON, Option, OptionError, Options, below_if_there, truth

OPTIONS = Options(
    "toy",
    [
        Option("deep", "", truth, default=False),
        Option("include", "", many=True, located=below_if_there),
        Option("width", "", int, 80),
    ],
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src" / "package").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "src")
    return tmp_path


def table(project: Path, text: str) -> dict[str, Any]:
    (project / "pyproject.toml").write_text(f"[tool.threadproof.toy]\n{text}\n")
    return OPTIONS.read({}, folder=Path.cwd())


def test_every_tool_has_the_common_options() -> None:
    assert [option.name for option in COMMON] == list(Options("other").by_name)
    assert Options("other").variable == "THREADPROOF_OTHER"


def test_a_table_is_found_above_the_folder_and_its_paths_begin_at_the_file(project: Path) -> None:
    values = table(
        project,
        "deep = true\nseverity = 'note'\nwrite-baseline = 'known.json'\nsuppressions = ['a.txt', '/b.txt']\n"
        "include = ['requests', 'src/package']",
    )
    assert (values["deep"], values["severity"]) == (True, Severity.NOTE)
    assert values["write_baseline"] == str(project / "known.json")
    assert values["suppressions"] == [str(project / "a.txt"), "/b.txt"]
    assert values["include"] == ["requests", str(project / "src" / "package")]


def test_the_nearest_file_with_such_a_table_counts(project: Path) -> None:
    (project / "src" / "pyproject.toml").write_text("[tool.threadproof]\nother = 1\n")
    assert table(project, "deep = true")["deep"] is True
    (project / "src" / "pyproject.toml").write_text("[tool.threadproof.toy]\nseverity = 'error'\n")
    values = OPTIONS.read({}, folder=Path.cwd())
    assert (values["deep"], values["severity"]) == (False, Severity.ERROR)


def test_a_later_source_wins_and_repeated_options_add_up(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[tool.threadproof.toy]\nseverity = 'note'\ninclude = ['a']\njson = 'a.json'\n"
    )
    values = OPTIONS.read(
        {"THREADPROOF_TOY": "include=c:html=c.html"},
        ini="include=b:severity=error:html=b.html",
        ini_name="toy_options",
        folder=project,
    )
    assert (values["include"], values["severity"]) == (["a", "b", "c"], Severity.ERROR)
    assert (values["json"], values["html"]) == (str(project / "a.json"), "c.html")
    parser = ArgumentParser()
    OPTIONS.add_arguments(parser)
    parser.set_defaults(**values)
    given = parser.parse_args(["--include", "d", "--severity", "warning", "--deep"])
    assert (given.include, given.severity, given.deep) == (["a", "b", "c", "d"], Severity.WARNING, True)
    assert values["include"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("severty = 'note'", "severty: there is no such option; is it severity?"),
        ("severity = 'fatal'", "severity: 'fatal' is not a severity; write note, warning, error"),
        ("deep = 2", "deep: '2' is neither 1 nor 0"),
        ("width = 'wide'", "width: invalid literal for int() with base 10: 'wide'"),
        ("deep = ['a']", "deep: wants true or false, got ['a']"),
        ("json = true", "json: wants a string, got True"),
        ("include = [1.5]", "include: wants a string, or a list of them, got 1.5"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line_that_names_it(project: Path, text: str, error: str) -> None:
    with pytest.raises(OptionError) as raised:
        table(project, text)
    assert str(raised.value) == f"../pyproject.toml: [tool.threadproof.toy]: {error}"


def test_a_file_that_is_no_toml_is_named_only_if_it_may_be_meant(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.threadproof.toy\n")
    with pytest.raises(OptionError, match=r"^\.\./pyproject\.toml: "):
        OPTIONS.read({}, folder=Path.cwd())
    (project / "pyproject.toml").write_text("[tool.other\n")
    assert OPTIONS.read({}, folder=Path.cwd())["deep"] is False


def test_an_error_in_a_configuration_file_names_its_setting() -> None:
    with pytest.raises(OptionError, match=r"^toy_options: severty: there is no such option"):
        OPTIONS.read({}, ini="severty=note", ini_name="toy_options")
