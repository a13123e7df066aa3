"""Options of a tool, each declared once and read from four places.

A later one wins; options that may be repeated add up:

    pyproject.toml      [tool.threadproof.race], the nearest one at or above a folder
    pytest              race_options = severity=note:history=3
    the environment     THREADPROOF_RACE="severity=note:halt_on_error=1"
    the command line    --severity note --halt-on-error

The second and the third are text: `name=value`, separated by colons or blanks; a value that contains one of
these stands in quotes.
"""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from threadproof.findings.model import Severity

SEVERITIES = {str(severity): severity for severity in Severity if severity}
TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class OptionError(ValueError):
    """An option that does not exist, or cannot have that value; the message is one line with the way out."""


# --- from the text of a value to the value; ArgumentTypeError or ValueError if it is not one ---


def severity(text: str) -> Severity:
    if text not in SEVERITIES:
        raise ArgumentTypeError(f"{text!r} is not a severity; write {', '.join(SEVERITIES)}")
    return SEVERITIES[text]


def truth(text: str) -> bool:
    if text.lower() not in TRUTH:
        raise ArgumentTypeError(f"{text!r} is neither 1 nor 0")
    return TRUTH[text.lower()]


# --- the meaning of a value in pyproject.toml, given the folder of that file ---


def as_it_is(folder: Path, text: str) -> str:
    return text


def below(folder: Path, text: str) -> str:
    """A path from the folder."""
    return str(folder / text)


def below_if_there(folder: Path, text: str) -> str:
    """A path from the folder if there is such a file; else the name of a module."""
    return str(folder / text) if (folder / text).exists() else text


@dataclass(frozen=True)
class Option:
    """One option of a tool. One whose `parse` is `truth` is a flag; one that is `many` may be repeated."""

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: Any = ""
    metavar: str = ""
    many: bool = False
    located: Callable[[Path, str], str] = as_it_is

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


def file(name: str, meaning: str, many: bool = False) -> Option:
    """An option that names a file."""
    return Option(name, meaning, metavar="FILE", many=many, located=below)


def code(name: str, meaning: str) -> Option:
    """An option that names code; it may be repeated."""
    return Option(name, meaning, metavar="NAME", many=True, located=below_if_there)


COMMON = (
    Option(
        "severity",
        "findings at least this bad set the exit code: error, warning or note (default: warning)",
        severity,
        Severity.WARNING,
        "LEVEL",
    ),
    file("suppressions", "a file of suppressions: findings not to report; may be repeated", many=True),
    file("baseline", "do not report the findings that FILE lists"),
    file("write_baseline", "list the findings of this run in FILE, as the next baseline"),
    Option("strip_path_prefix", "remove this from the start of file names in reports", metavar="PREFIX"),
    Option(
        "log_path",
        "write the report to PATH.<process id> instead of stderr",
        metavar="PATH",
        located=below,
    ),
    file("json", "write the findings to FILE as JSON"),
    file("sarif", "write the findings to FILE as SARIF 2.1.0"),
    file("html", "write the findings to FILE as a web page that needs no other file"),
    file("gitlab", "write the findings to FILE as GitLab's code quality report"),
    file("junit", "write the findings to FILE as a JUnit report"),
    Option("github", "also print the findings as annotations for GitHub", truth, default=False),
)
"""The options of every tool; `Reporter` applies them."""


class Options:
    """The options of one tool: the common ones and its own, of which one may replace a common one."""

    def __init__(self, tool: str, own: Sequence[Option] = ()) -> None:
        self.tool = tool
        self.variable = f"THREADPROOF_{tool.upper()}"
        self.own = own
        self.by_name = {option.name: option for option in (*COMMON, *own)}

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare every option on the command line; values read elsewhere go into `parser.set_defaults`."""
        for option in self.by_name.values():
            if option.parse is truth:
                parser.add_argument(option.flag, action="store_true", help=option.help)
            else:
                parser.add_argument(
                    option.flag,
                    action="append" if option.many else "store",
                    type=option.parse,
                    default=self.default(option),
                    metavar=option.metavar or None,
                    help=option.help,
                )

    def read(
        self,
        environment: Mapping[str, str],
        *,
        ini: str = "",
        ini_name: str = "",
        folder: Path | None = None,
    ) -> dict[str, Any]:
        """The value of every option, from pyproject.toml at or above `folder`, `ini` and the environment.

        `ini` is the text of a setting named `ini_name` in a configuration file. OptionError names the source.
        """
        values = {name: self.default(option) for name, option in self.by_name.items()}
        if folder is not None:
            self.set_from_project(values, folder)
        self.set_from_text(values, ini, ini_name)
        self.set_from_text(values, environment.get(self.variable, ""), self.variable)
        return values

    def default(self, option: Option) -> Any:
        return [] if option.many else option.default

    def set_from_text(self, values: dict[str, Any], text: str, source: str) -> None:
        for name, value in settings(text, source):
            self.set(values, name, value, source)

    def set_from_project(self, values: dict[str, Any], folder: Path) -> None:
        """Take the values of [tool.threadproof.<tool>]."""
        path, table = project_table(folder, self.tool)
        source = f"{os.path.relpath(path)}: [tool.threadproof.{self.tool}]"
        for name, value in table.items():
            self.set(values, name.replace("-", "_"), value, source, path.parent)

    def set(
        self, values: dict[str, Any], name: str, value: object, source: str, folder: Path | None = None
    ) -> None:
        """Set one option from its text, or from a value of TOML where there is a `folder`."""
        try:
            option = self.named(name)
            given = [str(value)] if folder is None else texts(option, value, folder)
            parsed = [option.parse(text) for text in given]
        except (ArgumentTypeError, ValueError) as error:
            raise OptionError(f"{source}: {name}: {error}") from None
        values[name] = [*values[name], *parsed] if option.many else parsed[0]

    def named(self, name: str) -> Option:
        if name in self.by_name:
            return self.by_name[name]
        close = get_close_matches(name, self.by_name, n=1)
        hint = f"is it {close[0]}?" if close else f"they are {', '.join(self.by_name)}"
        raise OptionError(f"there is no such option; {hint}")


# --- sources ---


def settings(text: str, source: str) -> list[tuple[str, str]]:
    """[(name, value), ...] of `name=value:name=value`."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace, words.whitespace_split, words.commenters = ": \t\n", True, ""
    try:
        parts = [word.partition("=") for word in words]
    except ValueError as error:
        raise OptionError(f"{source}: {error} in {text!r}") from None
    return [(name, value) for name, _, value in parts]


def project_table(folder: Path, tool: str) -> tuple[Path, dict[str, Any]]:
    """The nearest pyproject.toml at or above the folder with [tool.threadproof.<tool>], and that table."""
    for path in project_files(folder):
        table: Any = parsed(path)
        for name in ("tool", "threadproof", tool):
            table = table.get(name, {}) if isinstance(table, dict) else {}
        if table:
            return path, table if isinstance(table, dict) else {}
    return folder / "pyproject.toml", {}


def project_files(folder: Path) -> Iterator[Path]:
    """The files that may have a table of a tool: parsing the others would cost an import and time."""
    for above in (folder, *folder.parents):
        path = above / "pyproject.toml"
        try:
            if b"threadproof" in path.read_bytes():
                yield path
        except OSError:
            continue


def parsed(path: Path) -> dict[str, Any]:
    import tomllib  # here, as most programs have no such table, and need not load it

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise OptionError(f"{os.path.relpath(path)}: {error}") from None


def texts(option: Option, value: object, folder: Path) -> list[str]:
    """A value of TOML as the texts that the option's `parse` takes."""
    values = value if option.many and isinstance(value, list) else [value]
    found = []
    for each in values:
        if isinstance(each, bool) and option.parse is truth:
            found.append(str(int(each)))
        elif isinstance(each, str | int) and not isinstance(each, bool):
            found.append(option.located(folder, str(each)))
        else:
            wanted = "true or false" if option.parse is truth else "a string"
            raise OptionError(f"wants {wanted}{', or a list of them' * option.many}, got {each!r}")
    return found
