"""The report as one page that needs no network: a table, a flame graph and a timeline."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from threadproof.watch.contention.formats.collapsed import frame_name
from threadproof.watch.contention.formats.json import as_dict
from threadproof.watch.contention.record import Stack
from threadproof.watch.contention.report import Report

PAGE = Path(__file__).with_name("page.html")
MOST_WAITS = 4000  # of a timeline: more are not to be distinguished


def as_html(report: Report) -> str:
    """Light or dark as the reader's system is."""
    return (
        PAGE.read_text(encoding="utf-8")
        .replace("<!--title-->", escape(title(report)))
        .replace(
            "/*data*/null",
            in_script(as_dict(report) | {"stacks": stacks(report), "timeline": timeline(report)}),
        )
    )


def title(report: Report) -> str:
    count = len(report.locks)
    return f"Contention: {count} contended lock{'s' * (count != 1)}"


def in_script(data: object) -> str:
    """JSON that cannot end its element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def stacks(report: Report) -> list[dict[str, object]]:
    """The paths, outermost call first, for the flame graph."""
    return [
        {
            "object": each.title,
            "category": "step" if each.waits else "lock",
            "waiter": names(path.stack),
            "holder": names(path.holder),
            "delay": path.delay,
        }
        for each in report.contended
        for path in each.paths
    ]


def names(stack: Stack) -> list[str]:
    return [frame_name(place) for place in reversed(stack)]


def timeline(report: Report) -> dict[str, object]:
    """The longest waits of each thread, in the order of the threads' begin."""
    begin = report.record.begin
    longest = sorted(report.all_waits, key=lambda wait: -wait.delay)[:MOST_WAITS]
    return {
        "threads": [
            {
                "number": each.number,
                "name": each.name,
                "begin": each.begin - begin,
                "end": (each.end or report.record.end) - begin,
            }
            for each in sorted(report.record.threads.values(), key=lambda each: each.begin)
        ],
        "waits": [
            {
                "thread": wait.thread,
                "begin": wait.begin - begin,
                "end": wait.end - begin,
                "object": report.title_of(wait.awaited),
                "category": "step" if report.record.awaited[wait.awaited].waits else "lock",
                "holder": report.name_of_thread(wait.holder_thread),
            }
            for wait in longest
        ],
    }
