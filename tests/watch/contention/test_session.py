"""Sessions in a process: their doors, errors and ends."""

from __future__ import annotations

import threading

import pytest

from tests.kit.waiting import until
from threadproof import _core

if not hasattr(_core, "contention"):
    pytest.skip("the contention profiler needs CPython 3.14", allow_module_level=True)

from threadproof.watch.contention import profile


def enter(lock: threading.Lock) -> None:
    with lock:
        pass


def test_one_profile_runs_at_a_time() -> None:
    with (
        profile(),
        pytest.raises(RuntimeError, match=r"is running in this process already; stop\(\) it first"),
    ):
        profile().start()
    with profile() as again:
        pass
    assert again.report().contended == []


def test_a_profile_that_was_not_started_has_no_report() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        profile().report()


def test_a_thread_that_is_still_blocked_is_in_the_report() -> None:
    lock = threading.Lock()
    with profile() as recorded, lock:
        thread = threading.Thread(target=enter, args=(lock,), name="blocked")
        thread.start()
        until(lambda: _core.probe.lock_state(lock)[2])
        (wait,) = [wait for wait in recorded.report().all_waits if wait.outcome == "waits"]
        assert recorded.report().name_of_thread(wait.thread) == "blocked"
    thread.join()


def test_nothing_is_recorded_after_the_end() -> None:
    with profile() as recorded:
        pass
    lock = threading.Lock()
    with lock:
        thread = threading.Thread(target=enter, args=(lock,))
        thread.start()
        until(lambda: _core.probe.lock_state(lock)[2])
    thread.join()
    assert recorded.report().contended == []
    _core.contention.check()


def test_a_wait_is_divided_among_the_threads_that_held_the_lock() -> None:
    lock = threading.Lock()
    entered = threading.Event()

    def hold() -> None:
        with lock:
            if not entered.is_set():  # the other one still sleeps
                entered.set()
                until(lambda: _core.probe.lock_state(lock)[2])

    with profile() as recorded:
        with lock:
            threads = [threading.Thread(target=hold, name=name) for name in ("one", "two")]
            for thread in threads:
                thread.start()
            until(lambda: len([w for w in recorded.report().all_waits if w.outcome == "waits"]) >= 2)
            until(lambda: _core.probe.lock_state(lock)[2])
        for thread in threads:
            thread.join()
    (found,) = [each for each in recorded.report().contended if each.kind == "lock" and each.name == "lock"]
    holders = {name for path in found.paths for name in path.holder_threads}
    assert threading.current_thread().name in holders
    assert holders & {"one", "two"}
