"""The report as JSON. Times are nanoseconds; those of waits count from the begin of the session."""

from __future__ import annotations

import json
import platform

from threadproof.findings.model import Place
from threadproof.watch.contention.record import Stack, Wait
from threadproof.watch.contention.report import Contended, PathOf, Report

VERSION = 1  # changes when a field gets another meaning, or goes


def as_json(report: Report) -> str:
    return json.dumps(as_dict(report), indent=1) + "\n"


def as_dict(report: Report) -> dict[str, object]:
    return {
        "version": VERSION,
        "tool": "threadproof contention",
        "python": platform.python_version(),
        "gil": report.record.gil,
        "duration": report.duration,
        "not_seen": report.not_seen,
        "objects": [of_object(each) for each in report.contended],
        "threads": [
            {
                "name": each.name,
                "life": each.life,
                "locks": each.locks,
                "steps": each.steps,
                "idle": each.idle,
                "share": each.share,
            }
            for each in report.threads
        ],
        "reference_counts": [
            {
                "type": each.kind,
                "name": each.name,
                "samples": each.samples,
                "changes_per_microsecond": each.rate,
                "stacks": [of_stack(stack) for stack in each.stacks],
            }
            for each in report.changing
        ],
        "longest": [of_wait(report, wait) for wait in report.longest],
    }


def of_object(each: Contended) -> dict[str, object]:
    return {
        "title": each.title,
        "kind": each.kind,
        "step": each.step,
        "category": "idle" if each.kind == "idle worker" else "step" if each.waits else "lock",
        "name": each.name,
        "created": of_place(each.created),
        "objects": each.objects,
        "sampled": each.sampled,
        "count": each.count,
        "delay": each.delay,
        "longest": each.most,
        "paths": [of_path(path) for path in each.paths],
    }


def of_path(path: PathOf) -> dict[str, object]:
    return {
        "waiter": of_place(path.waiter),
        "holder": of_place(path.holder_place),
        "waiter_stack": of_stack(path.stack),
        "holder_stack": of_stack(path.holder),
        "waiter_threads": dict(path.threads),
        "holder_threads": dict(path.holder_threads),
        "count": path.count,
        "delay": path.delay,
        "longest": path.most,
    }


def of_wait(report: Report, wait: Wait) -> dict[str, object]:
    return {
        "object": report.title_of(wait.awaited),
        "thread": report.name_of_thread(wait.thread),
        "holder_thread": report.name_of_thread(wait.holder_thread),
        "begin": wait.begin - report.record.begin,
        "delay": wait.delay,
        "outcome": wait.outcome,
        "stack": of_stack(wait.stack),
        "holder_stack": of_stack(wait.holder),
    }


def of_stack(stack: Stack) -> list[object]:
    return [of_place(place) for place in stack]


def of_place(place: Place | None) -> dict[str, object] | None:
    if place is None:
        return None
    return {"file": place.path(), "line": place.line, "function": place.function}
