"""Subscribers in Python: the events that they get, and the effects of their callbacks."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from tests.kit.watched import without_summary
from threadproof import _core
from threadproof.probe import Scope, subscribe
from threadproof.probe.events import CLASSES

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/probe/lock_sites.py"
COUNTS = "500 deposits\n  500 lock_sites.py:30 in deposit\n    1 lock_sites.py:40 in <module>\n"
HERE = Scope([str(Path(__file__).parent)])


class Box:
    def __init__(self) -> None:
        self.n = 0


def ignore(event: object) -> None:
    pass


def run_in_thread(function: Callable[[], object], name: str = "other") -> None:
    thread = threading.Thread(target=function, name=name)
    thread.start()
    thread.join()


def seen(*kinds: str, during: Callable[[], object], scope: Scope | None = None) -> list[Any]:
    """The events of these kinds, but for internal locks, while `during` runs."""
    events: list[Any] = []
    with subscribe(scope=scope, **dict.fromkeys(kinds, events.append)):
        during()
    return [event for event in events if not getattr(event, "internal", False)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.mark.parametrize("alone", [["-W", "error"], ["-m", "threadproof", "race"]])
def test_the_example_counts_by_itself_and_beside_the_race_detector(alone: list[str]) -> None:
    ran = run(*alone, EXAMPLE)
    assert (ran.stdout, without_summary(ran.stderr), ran.returncode) == (COUNTS, "", 0)


def test_the_race_detector_finds_its_race_beside_another_subscriber() -> None:
    program = (
        "import threading\n"
        "from threadproof.probe import Scope, subscribe\n"
        "from threadproof.race import detect\n"
        "class Box: n = 0\ndef bump(): Box.n += 1\nnames = []\n"
        "with subscribe(scope=Scope(()), accessing=lambda event: names.append(event.name)):\n"
        "    with detect(include=['<string>']) as detection:\n"
        "        threads = [threading.Thread(target=bump) for _ in range(2)]\n"
        "        for thread in threads: thread.start()\n"
        "        for thread in threads: thread.join()\n"
        "print([finding.subject for finding in detection.findings], names.count('n'))\n"
    )
    ran = run("-c", program)
    assert (ran.stdout, ran.stderr) == ("['Box.n'] 2\n", "")


# --- events ---


def test_a_lock_is_acquired_and_released() -> None:
    lock = threading.Lock()

    def use() -> None:
        with lock:
            pass
        lock.acquire(timeout=1)
        assert not lock.acquire(blocking=False)
        lock.release()

    events = seen("acquiring", "acquired", "abandoned", "releasing", during=use)
    assert [(event.kind, event.attempt) for event in events if event.kind != "releasing"] == [
        ("acquiring", "blocking"),
        ("acquired", "blocking"),
        ("acquiring", "timed"),
        ("acquired", "blocking"),
        ("acquiring", "try"),
        ("abandoned", "blocking"),
    ]
    assert [event.kind for event in events].count("releasing") == 2
    assert all(event.object is lock and event.lock_kind == "mutex" for event in events)


def test_a_lock_of_a_library_is_internal() -> None:
    line: queue.Queue[int] = queue.Queue()
    events: list[Any] = []
    with subscribe(acquired=events.append):
        line.put(1)
        line.get()
    assert events
    assert all(event.internal for event in events)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("reentrant", threading.RLock),
        ("shared", lambda: _core.RWLock().read()),
        ("exclusive", lambda: _core.RWLock().write()),
    ],
)
def test_other_locks_say_of_which_kind_they_are(kind: str, make: Callable[[], Any]) -> None:
    lock = make()

    def use() -> None:
        with lock:
            pass

    events = seen("acquiring", "acquired", "releasing", during=use)
    assert [event.kind for event in events] == ["acquiring", "acquired", "releasing"]
    assert {event.lock_kind for event in events} == {kind}


def test_an_event_orders_and_is_seen_once_it_is_set() -> None:
    event = threading.Event()

    def use() -> None:
        event.is_set()
        event.set()
        event.wait()

    found = seen("publishing", "observed", during=use)
    assert [(each.kind, each.object) for each in found] == [("publishing", event), ("observed", event)]


def test_items_go_through_queues_and_may_be_refused() -> None:
    line, simple, item = queue.Queue[object](1), queue.SimpleQueue[object](), object()

    def use() -> None:
        line.put(item)
        with pytest.raises(queue.Full):
            line.put(item, block=False)
        simple.put(line.get())
        simple.put(item=item)  # by name: it counts all the same
        simple.get()

    found = seen("sending", "unsent", "received", during=use)
    assert [each.kind for each in found] == [
        *("sending", "sending", "unsent", "received"),
        *("sending", "sending", "received"),
    ]
    assert all(each.item is item for each in found)


def test_permits_are_given_and_taken() -> None:
    semaphore = threading.Semaphore(2)

    def use() -> None:
        with semaphore:
            semaphore.acquire()
        semaphore.release(3)

    found = seen("giving_permits", "took_permit", during=use)
    assert [(each.kind, each.count) for each in found] == [
        *(("took_permit", 1), ("took_permit", 1)),
        *(("giving_permits", 1), ("giving_permits", 3)),
    ]


def test_threads_have_numbers_and_one_that_ends_is_joined() -> None:
    found = seen(
        *("creating_thread", "thread_began", "thread_ending", "joined"),
        during=lambda: run_in_thread(int, "worker"),
    )
    created, began, ending, joined = found
    assert (created.name, created.kind) == ("worker", "creating_thread")
    assert began.number == ending.number == joined.number == created.number
    assert began.thread == ending.thread == created.number != created.thread == joined.thread


def test_what_may_block_is_announced() -> None:
    simple = queue.SimpleQueue[int]()
    simple.put(1)

    def use() -> None:
        simple.get()
        with pytest.raises(queue.Empty):
            simple.get(block=False)
        run_in_thread(int)

    found = seen("waiting", "waited", during=use)
    assert [(each.kind, each.reason, each.attempt) for each in found if each.kind == "waiting"] == [
        *(("waiting", "item", "blocking"), ("waiting", "item", "try"), ("waiting", "join", "blocking")),
    ]
    assert [each.kind for each in found] == ["waiting", "waited"] * 3


def test_accesses_come_from_code_in_the_scope_only() -> None:
    box = Box()

    def use() -> None:
        box.n += 1
        vars(box)["n"] = 2

    found = seen("accessing", during=use, scope=HERE)
    of_box = [each for each in found if each.object is box]
    assert [(each.part, each.name, each.write) for each in of_box] == [("attribute", "n", True)] * 2
    assert not seen("accessing", during=use)


def test_an_event_has_its_place_and_stack_while_its_callback_runs() -> None:
    lock, line, places = threading.Lock(), queue.Queue[int](), list[Any]()

    def use() -> None:
        with lock:
            line.put(1)

    def callback(event: Any) -> None:
        def helper() -> Any:
            return event.place(), event.stack()

        places.append(helper())

    with subscribe(acquired=callback):
        use()
    (place, stack), (inside, deeper) = places[0], places[1]
    assert place == stack[0]
    assert (place.function.rpartition(".")[2], place.file) == ("use", __file__)
    assert inside.line == place.line + 1  # of a lock in the queue: where the program calls that
    assert queue.__file__ in {each.file for each in deeper}
    assert inside in deeper


def test_an_allocation_in_the_scope_is_an_event() -> None:
    boxes: list[Box] = []
    found = seen("allocated", during=lambda: boxes.append(Box()), scope=HERE)
    assert [each.address for each in found] == [id(boxes[0])]


# --- callbacks ---


def test_a_callback_publishes_nothing_itself() -> None:
    lock, other, calls = threading.Lock(), threading.Lock(), []

    def callback(event: Any) -> None:
        calls.append(event.object)
        with other:
            pass

    with subscribe(acquired=callback), lock:
        pass
    assert calls == [lock]


def test_an_exception_of_a_callback_does_not_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: raised.append((each.exc_type, each.object)))

    def fail(event: Any) -> None:
        raise KeyError(event.kind)

    lock = threading.Lock()
    with subscribe(acquired=fail, releasing=fail):
        with lock:
            pass
        with pytest.raises(IndexError), lock:
            [][0]
    assert raised == [(KeyError, fail)] * 4
    assert not lock.locked()


def test_a_callback_may_block_its_thread_until_another_has_gone_on() -> None:
    """As an explorer of schedules: the second thread acquires first, because the first one is held."""
    lock, order, go = threading.Lock(), list[str](), threading.Event()

    def hold(event: Any) -> None:
        if threading.current_thread().name == "first" and not event.internal:
            assert go.wait(PATIENCE)

    def use() -> None:
        with lock:
            order.append(threading.current_thread().name)
        if threading.current_thread().name == "second":
            go.set()

    with subscribe(acquiring=hold):
        threads = [threading.Thread(target=use, name=name) for name in ("first", "second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert order == ["second", "first"]


def test_after_a_subscription_nothing_is_called() -> None:
    calls: list[Any] = []
    subscription = subscribe(acquired=calls.append)
    with threading.Lock():
        pass
    with subscription:
        pass
    with threading.Lock():
        pass
    assert not calls
    with subscription, threading.Lock():
        pass
    assert len(calls) == 1


def test_there_are_four_subscribers_at_most() -> None:
    fifth = subscribe(acquired=ignore)
    with ExitStack() as others:
        for _ in range(3):  # the race detector keeps its own place, if it has run in this process
            others.enter_context(subscribe(acquired=ignore))
        with suppress(RuntimeError):
            others.enter_context(subscribe(acquired=ignore))
        with pytest.raises(RuntimeError, match="there are 4 subscribers already"):
            fifth.start()
    with fifth:
        pass


def test_a_subscription_starts_once() -> None:
    with subscribe(acquired=ignore) as subscription, pytest.raises(RuntimeError, match="has started already"):
        subscription.start()


@pytest.mark.parametrize("kinds", [["aquired"], []])
def test_an_event_that_does_not_exist_is_refused_with_those_that_do(kinds: list[str]) -> None:
    with pytest.raises(TypeError, match=r"subscribe\(\) has no event .*there are acquiring, acquired"):
        subscribe(scope=None, **dict.fromkeys(kinds, ignore))


def test_threads_that_come_and_go_while_a_subscription_does_are_safe() -> None:
    """Subscribe and unsubscribe while threads publish: no crash, and no event after the end of all."""
    lock, stop, calls = threading.Lock(), threading.Event(), list[Any]()

    def publish() -> None:
        while not stop.is_set():
            with lock:
                pass

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        with subscribe(acquired=calls.append, releasing=calls.append):
            pass
    stop.set()
    for thread in threads:
        thread.join()
    count = len(calls)
    with lock:
        pass
    assert len(calls) == count


def test_a_forked_child_publishes_as_its_parent_does() -> None:
    program = (
        "import os, threading\nfrom threadproof.probe import subscribe\n"
        "lock, acquired, stop = threading.Lock(), [], threading.Event()\n"
        "def acquire():\n"
        "    while not stop.is_set():\n        with lock: pass\n"
        "with subscribe(acquired=lambda event: acquired.append(event.object)):\n"
        "    thread = threading.Thread(target=acquire)\n    thread.start()\n"
        "    for _ in range(20):\n"
        "        mine = threading.Lock()\n"
        "        child = os.fork()\n"
        "        with mine: pass\n"
        "        if not child: os._exit(0 if mine in acquired else 1)\n"
        "        assert os.waitpid(child, 0)[1] == 0 and mine in acquired\n"
        "    stop.set()\n    thread.join()\n"
    )
    ran = run("-W", "ignore::DeprecationWarning", "-c", program)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_event_has_a_class_and_every_class_an_event() -> None:
    assert tuple(CLASSES) == tuple(dict.fromkeys(CLASSES))
    assert set(CLASSES) == set(_core.probe.EVENTS)
