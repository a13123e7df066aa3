"""The explorer's own options, beside those that all tools share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from threadproof.explore.api import BOUND, SCHEDULES, SECONDS
from threadproof.explore.executor import MOST_STEPS
from threadproof.explore.search import STRATEGIES
from threadproof.findings.options import Option, Options, code


def one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return parse


def at_least(lowest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise ArgumentTypeError(f"{text!r} is not a number, at least {lowest}")
        return int(text)

    return parse


def duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not seconds > 0:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


OPTIONS = Options(
    "explore",
    [
        Option(
            "strategy",
            f"how to choose schedules: {', '.join(STRATEGIES)} (default: auto)",
            one_of(*STRATEGIES),
            "auto",
            "NAME",
        ),
        Option("schedules", f"at most so many (default: {SCHEDULES})", at_least(1), SCHEDULES, "N"),
        Option("seconds", f"for about so long (default: {SECONDS:g})", duration, SECONDS, "S"),
        Option("seed", "of random strategies: the same seed, the same schedules", at_least(0), 0, "N"),
        Option("bound", f"preemptions of a schedule of dfs (default: {BOUND})", at_least(0), BOUND, "N"),
        Option("steps", f"a run of more is a livelock (default: {MOST_STEPS})", at_least(1), MOST_STEPS, "N"),
        Option(
            "timeouts",
            "when a timeout passes: last, if no thread can run otherwise, or at any time (default: last)",
            one_of("last", "any"),
            "last",
            "WHEN",
        ),
        Option("replay", "run only the schedule of this token", metavar="TOKEN"),
        code("include", "also switch in this package, module or folder; may be repeated"),
        code("exclude", "do not switch in this package, module or folder; may be repeated"),
    ],
)


def settings(values: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that explore() takes by name."""
    return {option.name: values[option.name] for option in OPTIONS.own}
