"""Waits that the explorer does not control: it notices them, lets other threads go on, and never hangs."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.kit.hammer import PATIENCE
from threadproof.explore import explore

kept = ExitStack()


@pytest.fixture(autouse=True)
def close_afterwards() -> Iterator[None]:
    """What a thread still waits for is closed when the test is over, and so its wait ends."""
    yield
    kept.close()


def ask(repeats: int) -> int:
    """How often a server in another thread has answered."""
    one, other = socket.socketpair()
    state = {"n": 0}

    def serve() -> None:
        for _ in range(repeats):
            other.recv(1)
            state["n"] += 1
            other.sendall(b"y")

    with closing(one), closing(other):
        thread = threading.Thread(target=serve, name="server")
        thread.start()
        for _ in range(repeats):
            one.sendall(b"x")
            assert one.recv(1) == b"y"
        thread.join()
    return state["n"]


def test_threads_that_talk_through_a_socket_go_on_and_it_is_said_where() -> None:
    def test() -> None:
        assert ask(2) == 2

    found = explore(test, schedules=3, seconds=PATIENCE)
    assert not found.failure, found
    assert found.uncontrolled == found.schedules == 3
    assert found.exhausted == ""
    assert "MainThread waited at " in found.outside[0]
    assert "3 of them were not controlled" in found.summary()
    assert f"uncontrolled: {found.outside[0]}" in found.report()


def test_a_failure_after_such_a_wait_is_told_and_has_no_token() -> None:
    def test() -> None:
        assert ask(1) == 2

    found = explore(test, schedules=3, seconds=PATIENCE)
    assert found.failure
    assert found.failure.kind == "raised"
    assert not found.token
    assert "not repeatable" in found.report()


def test_a_thread_that_waits_in_a_pipe_while_time_passes_is_left_when_the_test_ends() -> None:
    def test() -> None:
        source, sink = os.pipe()
        kept.callback(os.close, source)
        kept.callback(os.close, sink)
        threading.Thread(target=os.read, args=(source, 1), daemon=True).start()
        before = time.monotonic()
        time.sleep(3600)
        assert time.monotonic() - before >= 3600

    found = explore(test, schedules=2, seconds=PATIENCE)
    assert not found.failure, found
    assert found.uncontrolled == found.schedules == 2


def test_the_test_itself_waiting_for_ever_is_a_deadlock() -> None:
    def test() -> None:
        one, other = socket.socketpair()
        with closing(one), closing(other):
            one.recv(1)

    found = explore(test, schedules=1, hang=0.2)
    assert found.failure
    assert found.failure.kind == "deadlock"
    (wait,) = found.waits()
    assert wait.startswith("MainThread waits at ")
    assert "not controlled" in wait


def test_joining_a_thread_that_waits_for_ever_is_a_deadlock() -> None:
    def test() -> None:
        one, other = socket.socketpair()
        kept.callback(one.close)
        kept.callback(other.close)
        thread = threading.Thread(target=one.recv, args=(1,), name="reader")
        thread.start()
        thread.join()

    found = explore(test, schedules=1, hang=0.2)
    assert found.failure
    assert found.failure.kind == "deadlock"
    main, reader = found.waits()
    assert main.endswith("for the end of reader")
    assert reader.startswith("reader waits at ")


def test_a_test_without_such_waits_is_controlled() -> None:
    def test() -> None:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    found = explore(test, seconds=PATIENCE)
    assert found.exhausted == "all"
    assert not found.outside


def test_progress_is_called_with_the_schedules_so_far() -> None:
    calls: list[tuple[int, float]] = []

    def test() -> None:
        assert ask(4) == 4  # each wait is noticed after 0.1 s

    explore(test, schedules=3, seconds=PATIENCE, progress=lambda *call: calls.append(call))
    assert calls
    assert all(1 <= schedules <= 3 and seconds > 0 for schedules, seconds in calls)
