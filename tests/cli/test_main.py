"""The `threadproof` command itself: help, version, and errors before a command is chosen."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import pytest

from threadproof.cli import COMMANDS, main

Captured = pytest.CaptureFixture[str]


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_help_names_every_command_and_what_it_does(capsys: Captured) -> None:
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text and summary in text for name, summary in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(name: str, capsys: Captured) -> None:
    assert exit_code(name, "--help") == 0
    assert COMMANDS[name] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_module_that_takes_arguments_and_runs(name: str) -> None:
    module = import_module(f"threadproof.cli.{name}")
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_lists_its_exit_codes_and_has_json(name: str, capsys: Captured) -> None:
    assert exit_code(name, "--help") == 0
    text = capsys.readouterr().out
    codes = text.partition("exit codes:\n")[2].splitlines()
    assert {line.split()[0] for line in codes} >= {"2", "130"}
    assert "--json" in text


def test_a_misspelt_option_is_answered_with_the_one_that_was_meant(capsys: Captured) -> None:
    assert exit_code("demo", "--thread-count=3", "--quit") == 2
    assert exit_code("race", "--sevrity", "note", "x.py") == 2
    demo, race = capsys.readouterr().err.splitlines()
    assert demo.startswith(
        "threadproof demo: unrecognized arguments: --thread-count=3 --quit (is it --threads?)"
    )
    assert "--sevrity (is it --severity?)" in race


def test_version_is_that_of_the_package(capsys: Captured) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"threadproof {version('threadproof')}\n"


@pytest.mark.parametrize("arguments", [(), ("dance",), ("--dance",)])
def test_bad_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], capsys: Captured) -> None:
    assert exit_code(*arguments) == 2
    text, errors = capsys.readouterr()
    assert text == ""
    assert errors.startswith("threadproof: ")
    assert errors.count("\n") == 1
