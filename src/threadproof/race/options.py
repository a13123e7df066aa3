"""The options of the race detector, which the command line, THREADPROOF_RACE and pytest share.

THREADPROOF_RACE is for places where nobody can change a command: `severity=note:halt_on_error=1`. Options are
separated by colons or blanks; a value that contains one stands in quotes. An option on the command line wins.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from threadproof.findings import Severity

VARIABLE = "THREADPROOF_RACE"
SEVERITIES = {str(severity): severity for severity in Severity if severity}
TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
DEEPEST = 1000  # frames: as deep as Python itself goes, unless told otherwise


class OptionError(ValueError):
    """An option that does not exist, or cannot have that value; the message is one line with the way out."""


def severity(text: str) -> Severity:
    if text not in SEVERITIES:
        raise ArgumentTypeError(f"{text!r} is no severity; write {', '.join(SEVERITIES)}")
    return SEVERITIES[text]


def truth(text: str) -> bool:
    if text.lower() not in TRUTH:
        raise ArgumentTypeError(f"{text!r} is neither 1 nor 0")
    return TRUTH[text.lower()]


def frames(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= DEEPEST:
        raise ArgumentTypeError(f"{text!r} is no number of frames from 1 to {DEEPEST}")
    return int(text)


@dataclass(frozen=True)
class Option:
    """One option: how its text is read, and what it says of itself. Those that are `many` may be repeated."""

    help: str
    parse: Callable[[str], Any] = str
    default: Any = ""
    metavar: str = ""
    many: bool = False


OPTIONS: dict[str, Option] = {
    "severity": Option(
        "races at least this bad count: error, warning or note", severity, Severity.WARNING, "LEVEL"
    ),
    "strict": Option("report every unordered pair, and as an error", truth, False),
    "include": Option("also watch this package, module or folder", many=True, metavar="NAME"),
    "exclude": Option("do not watch this one", many=True, metavar="NAME"),
    "sample": Option("look at hot code now and then only: costs little, and finds less", truth, False),
    "suppressions": Option("a file of races not to report", many=True, metavar="FILE"),
    "baseline": Option("do not report what this file lists", metavar="FILE"),
    "write_baseline": Option("write what was found to this file, as the next baseline", metavar="FILE"),
    "halt_on_error": Option("report the first such race at once, and end the program", truth, False),
    "history": Option("how many calls of a stack are kept", frames, 16, "FRAMES"),
    "strip_path_prefix": Option("take this off the files' names in reports", metavar="PREFIX"),
    "log_path": Option("write the report to PATH.<process id> instead of stderr", metavar="PATH"),
    "json": Option("write the findings to FILE as JSON", metavar="FILE"),
    "sarif": Option("write the findings to FILE as SARIF 2.1.0", metavar="FILE"),
    "html": Option("write the findings to FILE as a page", metavar="FILE"),
    "github": Option("also print the findings as annotations for GitHub", truth, False),
}


def options_from(environment: Mapping[str, str]) -> dict[str, Any]:
    """Every option, with its value of THREADPROOF_RACE or else its default; OptionError as it says."""
    values = {name: [] if option.many else option.default for name, option in OPTIONS.items()}
    for name, text in settings(environment.get(VARIABLE, "")):
        try:
            value = option_named(name).parse(text)
        except (OptionError, ArgumentTypeError) as error:
            raise OptionError(f"{VARIABLE}: {name}: {error}") from None
        values[name] = [*values[name], value] if OPTIONS[name].many else value
    return values


def settings(text: str) -> list[tuple[str, str]]:
    """[(name, value), ...] of `name=value:name=value`."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace, words.whitespace_split, words.commenters = ": \t\n", True, ""
    try:
        parts = [word.partition("=") for word in words]
    except ValueError as error:
        raise OptionError(f"{VARIABLE}: {error} in {text!r}") from None
    return [(name, value) for name, _, value in parts]


def option_named(name: str) -> Option:
    if name in OPTIONS:
        return OPTIONS[name]
    close = get_close_matches(name, OPTIONS, n=1)
    hint = f"is it {close[0]}?" if close else f"they are {', '.join(OPTIONS)}"
    raise OptionError(f"there is no such option; {hint}")
