"""Programs whose contention is known: the profiler names the object, and the lines of waiter and holder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "contention"):
    pytest.skip("the contention profiler needs CPython 3.14", allow_module_level=True)

PROGRAMS = Path(__file__).with_name("programs")


class Answer(NamedTuple):
    """What a report of the program has to have: the object's title, and lines by their text and function."""

    title: str
    created: str  # a part of the line that made it
    waiter: tuple[str, str]  # a part of the line, the function
    holder: tuple[str, str]
    category: str = "lock"


ANSWERS = {
    "abba_wait": Answer("Lock right", "right =", ("with right:", "first"), ("with right:", "second")),
    "convoy": Answer(
        "Lock Convoy.turn",
        "self.turn =",
        ("with self.turn:", "Convoy.ride"),
        ("with self.turn:", "Convoy.ride"),
    ),
    "load_under_lock": Answer(
        "RWLock Prices.lock", "self.lock =", ("lock.read()", "Prices.read"), ("lock.write()", "Prices.load")
    ),
    "rw_lock_writer": Answer(
        "RWLock catalogue", "catalogue =", ("catalogue.write()", "write"), ("catalogue.read()", "read")
    ),
    "logging_lock": Answer("lock of Handler", "Slow()", ('"quick"', "serve"), ('"slow"', "report")),
    "queue_one_consumer": Answer(
        "Queue.put jobs", "jobs:", ("jobs.put(2)", "produce"), ("jobs.get()", "consume"), "step"
    ),
    "condition_handoff": Answer(
        "Condition.wait ready", "ready =", ("ready.wait()", "consume"), ("ready.notify()", "make"), "step"
    ),
    "semaphore_pool": Answer(
        "Semaphore.acquire connections",
        "connections =",
        ("connections.acquire()", "wait_for_it"),
        ("with connections:", "query"),
        "step",
    ),
    "rlock_recursion": Answer("RLock tree", "tree =", ("with tree:", "insert"), ("with tree:", "walk")),
    "barrier_slow_party": Answer(
        "Barrier.wait phase", "phase =", ("phase.wait()", "quick"), ("phase.wait()", "slow"), "step"
    ),
    "join_slow_thread": Answer(
        "Thread.join slow worker",
        "worker =",
        ("worker.join()", "<module>"),
        ("worker.start()", "<module>"),
        "step",
    ),
    "event_setter": Answer(
        "Event.wait started", "started =", ("started.wait()", "serve"), ("started.set()", "configure"), "step"
    ),
    "future_result": Answer(
        "Future.result future", "future =", ("future.result()", "<module>"), ("", "_WorkItem.run"), "step"
    ),
    "simple_queue": Answer(
        "SimpleQueue inbox", "inbox:", ("inbox.get()", "receive"), ("inbox.put(1)", "send"), "step"
    ),
    "map_computation": Answer(
        "Reservation prices", "", ("compute_if_absent", "look"), ("compute_if_absent", "load"), "step"
    ),
    "once_runner": Answer(
        "Once.run settings", "", ("settings.run", "second"), ("settings.run", "first"), "step"
    ),
}


def report_on(program: str, *options: str, folder: Path) -> dict[str, Any]:
    output = folder / "contention.json"
    command = [sys.executable, "-m", "threadproof", "contention", "--json", str(output), *options]
    ran = subprocess.run(
        [*command, str(PROGRAMS / f"{program}.py")], capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads(output.read_text())
    return report


def text_of(place: dict[str, Any]) -> str:
    """The source at a place of the report, whose path counts from the current folder."""
    lines = Path(str(place["file"])).read_text().splitlines()
    return lines[int(place["line"]) - 1]


def is_at(place: dict[str, Any] | None, wanted: tuple[str, str]) -> bool:
    text, function = wanted
    return place is not None and place["function"] == function and text in text_of(place)


@pytest.mark.parametrize("program", ANSWERS)
def test_the_profiler_names_the_object_and_both_lines(program: str, tmp_path: Path) -> None:
    answer = ANSWERS[program]
    report = report_on(program, folder=tmp_path)
    found = [each for each in report["objects"] if each["title"] == answer.title]
    assert len(found) == 1, [each["title"] for each in report["objects"]]
    (contended,) = found
    assert contended["category"] == answer.category
    assert contended["delay"] >= 5_000_000
    if answer.created:
        assert answer.created in text_of(contended["created"])
    both = [
        path
        for path in contended["paths"]
        if is_at(path["waiter"], answer.waiter) and is_at(path["holder"], answer.holder)
    ]
    assert both, [(path["waiter"], path["holder"]) for path in contended["paths"]]


def test_of_two_locks_in_opposite_orders_the_thread_that_gives_up_is_known(tmp_path: Path) -> None:
    report = report_on("abba_wait", folder=tmp_path)
    (gave_up,) = [wait for wait in report["longest"] if wait["object"] == "Lock left"]
    assert (gave_up["thread"], gave_up["outcome"]) == ("second", "gave up")


def test_a_healthy_program_has_no_contended_lock(tmp_path: Path) -> None:
    report = report_on("healthy", folder=tmp_path)
    locks = [each["title"] for each in report["objects"] if each["kind"] == "Lock"]
    assert not locks  # threads share the Event of their start, which is no Lock
