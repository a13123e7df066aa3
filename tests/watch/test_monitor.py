"""Monitor: its thread, its callbacks, weak references, forks."""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer
from threadproof import HashMap
from threadproof.findings import Finding
from threadproof.stats import Registry
from threadproof.sync import RWLock
from threadproof.watch import CHECKS, Monitor, Verdict, check

SOON = 0.001  # seconds between evaluations


class SameHash:
    """A key whose hash is that of all others."""

    def __hash__(self) -> int:
        return 7


def ill_map() -> HashMap[Any, int]:
    return HashMap((SameHash(), number) for number in range(100))


@pytest.fixture
def watched() -> Registry:
    return Registry()


def test_findings_are_reported_once_and_their_end_too(watched: Registry) -> None:
    ill, found, cleared = watched.add(ill_map(), "ill"), queue.Queue[Finding](), queue.Queue[Verdict]()
    with Monitor(SOON, found.put, on_clear=cleared.put, registry=watched) as monitor:
        finding = found.get(timeout=PATIENCE)
        assert (finding.rule, finding.subject) == ("bad-hashes", "ill")
        assert [each.rule for each in monitor.findings] == ["bad-hashes"]
        ill.clear()
        verdict = cleared.get(timeout=PATIENCE)
        assert (verdict.check, verdict.structure) == ("bad-hashes", "ill")
    assert found.empty()
    assert monitor.stats().evaluations >= 2


def test_callbacks_that_raise_are_counted_and_the_monitor_goes_on(
    watched: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    ill = watched.add(ill_map(), "ill")
    called = threading.Event()

    def fail(finding: Finding) -> None:
        called.set()
        raise OSError("no network")

    monitor = Monitor(SOON, fail, registry=watched)
    monitor.evaluate()
    monitor.evaluate()
    assert len(ill) == 100
    assert called.is_set()
    assert monitor.stats().callback_errors == 1
    assert "a callback of a Monitor raised" in caplog.text


def test_several_threads_may_use_a_monitor_at_once(watched: Registry) -> None:
    monitor = Monitor(3600, registry=watched)
    hammer(lambda _: [monitor.evaluate() for _ in range(200)], 4)
    assert monitor.stats().evaluations == 4 * 200

    before = set(threading.enumerate())
    for _ in range(50):
        hammer(lambda _: monitor.start(), 4)
        started = set(threading.enumerate()) - before
        assert len(started) == 1
        monitor.stop()
        for thread in started:
            thread.join(PATIENCE)


def test_without_a_callback_findings_are_logged(watched: Registry, caplog: pytest.LogCaptureFixture) -> None:
    ill = watched.add(ill_map(), "ill")
    with caplog.at_level(logging.WARNING, "threadproof.watch"):
        Monitor(registry=watched).evaluate()
    assert len(ill) == 100
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "bad-hashes: many keys of ill have equal hashes: a chain of " in record.getMessage()


def monitor_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "threadproof monitor"]


def test_a_monitor_that_nothing_refers_to_ends(watched: Registry) -> None:
    monitor = Monitor(SOON, registry=watched).start()
    (thread,) = monitor_threads()
    assert thread.daemon
    gone = weakref.ref(monitor)
    del monitor
    while thread.is_alive():
        gc.collect()
        thread.join(0.01)
    assert gone() is None


def test_starting_twice_makes_one_thread_and_stopping_ends_it(watched: Registry) -> None:
    with Monitor(SOON, registry=watched) as monitor:
        monitor.start()
        (thread,) = monitor_threads()
    monitor.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_monitors_by_itself(watched: Registry) -> None:
    keep = watched.add(ill_map(), "ill")
    read, write = os.pipe()
    parent = os.getpid()
    reported = threading.Event()

    def report(finding: Finding) -> None:
        if os.getpid() == parent:
            reported.set()
        else:
            os.write(write, finding.rule.encode())

    with Monitor(SOON, report, registry=watched):
        assert reported.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))  # a child whose monitor does not start again is killed
            signal.pause()
        os.close(write)
        assert os.read(read, 100).startswith(b"bad-hashes")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(read)
    assert len(keep) == 100


def test_unnamed_structures_of_chosen_kinds_are_watched(watched: Registry) -> None:
    lock = RWLock()
    Monitor(registry=watched, kinds=[RWLock]).evaluate()
    assert any(each.structure is lock and each.label.startswith("RWLock#") for each in watched.watched())


def test_a_map_is_sampled_in_each_interval(watched: Registry) -> None:
    hot, stop = watched.add(HashMap(a=1), "hot"), threading.Event()

    def read() -> None:
        while not stop.is_set():
            hot.get("a")

    thread = threading.Thread(target=read)
    thread.start()
    found = queue.Queue[Finding]()
    try:
        with Monitor(0.05, found.put, registry=watched, sample_keys=0.05, limits={"hot-key": {"least": 1}}):
            assert found.get(timeout=PATIENCE).rule == "hot-key"
    finally:
        stop.set()
        thread.join()
    for monitor in monitor_threads():  # the last session may end after the monitor
        monitor.join(PATIENCE)
    assert type(hot) is HashMap


def test_a_leak_names_the_line_that_allocates(watched: Registry) -> None:
    m, stop = watched.add(HashMap[int, list[int]](), "leaking"), threading.Event()

    def store() -> None:
        while not stop.wait(0.001):  # no faster than snapshots of all allocations can be made
            for _ in range(10):
                m[len(m)] = [len(m)]  # this line

    thread = threading.Thread(target=store)
    found = queue.Queue[Finding]()
    thread.start()
    try:
        limits = {"leak": {"least": 1.0}, **{each.name: None for each in CHECKS if each.name != "leak"}}
        with Monitor(0.01, found.put, registry=watched, limits=limits, confirm_leaks=True):
            finding = found.get(timeout=PATIENCE)
    finally:
        stop.set()
        thread.join()
    assert finding.subject == "leaking"
    assert "# this line" in {place.source()[-11:] for step in finding.steps for place in step.stack[:1]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Monitor(0), "needs an interval of more than 0 seconds, got 0"),
        (
            lambda: Monitor(1, sample_keys=2),
            r"sample_keys must be from 0 to the interval of 1 seconds, got 2",
        ),
        (lambda: check(-1), "needs seconds of at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_check_judges_states_at_once_and_trends_over_some_time(watched: Registry) -> None:
    ill = watched.add(ill_map(), "ill")
    assert [finding.rule for finding in check(registry=watched)] == ["bad-hashes"]
    assert [finding.rule for finding in check(0.01, registry=watched)] == ["bad-hashes"]
    assert check(registry=watched, limits={"bad-hashes": None}) == []
    assert len(ill) == 100
