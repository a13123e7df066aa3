"""The options of the race detector, read from THREADPROOF_RACE; errors are one line that names the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from threadproof.findings import Severity
from threadproof.findings.options import OptionError
from threadproof.race.options import OPTIONS


def read(text: str) -> dict[str, Any]:
    return OPTIONS.read({"THREADPROOF_RACE": text})


def test_without_it_every_option_has_its_default() -> None:
    options = OPTIONS.read({})
    assert options.keys() == OPTIONS.by_name.keys()
    assert options["severity"] is Severity.WARNING
    assert (options["halt_on_error"], options["history"], options["include"]) == (False, 16, [])


@pytest.mark.parametrize(
    "text", ["severity=note:halt_on_error=1:history=3", "severity=note halt_on_error=true\thistory=3"]
)
def test_options_are_separated_by_colons_or_blanks(text: str) -> None:
    options = read(text)
    assert (options["severity"], options["halt_on_error"], options["history"]) == (Severity.NOTE, True, 3)


def test_a_value_in_quotes_may_hold_what_separates() -> None:
    options = read("log_path='C:\\my races':strip_path_prefix=\"/a b/\"::")
    assert (options["log_path"], options["strip_path_prefix"]) == ("C:\\my races", "/a b/")


def test_what_may_be_repeated_adds_up_and_the_last_of_the_rest_wins() -> None:
    options = read("include=requests:include=yaml:strict=1:strict=0")
    assert (options["include"], options["strict"]) == (["requests", "yaml"], False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("severty=note", "severty: there is no such option; is it severity?"),
        ("x=1", "x: there is no such option; they are severity, suppressions,"),
        ("severity=fatal", "severity: 'fatal' is not a severity; write note, warning, error"),
        ("halt_on_error=maybe", "halt_on_error: 'maybe' is neither 1 nor 0"),
        ("halt_on_error", "halt_on_error: '' is neither 1 nor 0"),
        ("history=0", "history: '0' is not a number of frames from 1 to 1000"),
        ("history=many", "history: 'many' is not a number of frames"),
        ("log_path='a", 'No closing quotation in "log_path=\'a"'),
    ],
)
def test_an_unreadable_option_is_one_line_that_names_it(text: str, error: str) -> None:
    with pytest.raises(OptionError) as raised:
        read(text)
    assert str(raised.value).startswith("THREADPROOF_RACE: ")
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_documentation_has_a_row_for_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "race.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `--")]
    assert {name.strip("` ") for row in rows for name in row[2].split(",")} == set(OPTIONS.by_name)
    flags = {flag.strip("` ").split()[0] for row in rows for flag in row[1].split(",")}
    assert flags == {f"--{name.replace('_', '-')}" for name in OPTIONS.by_name}
