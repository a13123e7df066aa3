"""Collapsed stacks: a line for each path, the outermost call first, and its nanoseconds.

The innermost entry is the object; with `holders`, the stacks are those for which threads have waited.
"""

from __future__ import annotations

from collections import Counter

from threadproof.findings.model import Place
from threadproof.watch.contention.record import Stack
from threadproof.watch.contention.report import Report


def as_collapsed(report: Report, holders: bool = False) -> str:
    """flamegraph.pl and speedscope read it."""
    lines: Counter[str] = Counter()
    for each in report.contended:
        for path in each.paths:
            stack = path.holder if holders else path.stack
            lines[";".join([*outermost_first(stack), escaped(each.title)])] += path.delay
    return "".join(f"{line} {delay}\n" for line, delay in lines.items() if delay)


def outermost_first(stack: Stack) -> list[str]:
    return [escaped(frame_name(place)) for place in reversed(stack)]


def frame_name(place: Place) -> str:
    return f"{place.function} ({place})"


def escaped(text: str) -> str:
    return text.replace(";", ",")
