"""Interrupts in functions that a cache calls after its change, before the call ends, reach the caller."""

from __future__ import annotations

import gc
import signal
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.maps.computations import computing
from threadproof import Cache, cached
from threadproof.maps.cache_threads import sweep


class Interrupting:
    """An on_evict in which the first call is interrupted, as by Ctrl-C."""

    def __init__(self) -> None:
        self.departed: list[Any] = []

    def __call__(self, key: Any, value: Any, cause: str) -> None:
        self.departed.append(key)
        if len(self.departed) == 1:
            signal.raise_signal(signal.SIGINT)


CHANGES: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "set": lambda cache: cache.__setitem__(1, "new"),
    "del": lambda cache: cache.__delitem__(1),
    "pop": lambda cache: cache.pop(1),
    "popitem": lambda cache: cache.popitem(),
    "compute": lambda cache: cache.compute(1, lambda old: "new"),
    "set_many": lambda cache: cache.set_many([1, 2], ["new", "new"]),
    "update": lambda cache: cache.update({1: "new", 2: "new"}),
    "delete_many": lambda cache: cache.delete_many([1, 2]),
    "clear": lambda cache: cache.clear(),
    "resize": lambda cache: cache.resize(1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_interrupt_in_a_listener_reaches_the_caller_after_the_change(change: str) -> None:
    listener = Interrupting()
    cache: Cache[Any, Any] = Cache(((i, i) for i in range(4)), max_size=4, on_evict=listener)
    before = dict(cache.items())
    with pytest.raises(KeyboardInterrupt):
        CHANGES[change](cache)
    assert dict(cache.items()) != before
    assert sorted(listener.departed) == sorted(key for key in before if cache.get(key) != before[key])
    assert len(cache) <= 4  # and no call is interrupted once more
    cache.check()


@pytest.mark.parametrize("computed", [False, True])
def test_a_drain_that_is_interrupted_in_a_listener_loses_nothing(computed: bool) -> None:
    listener = Interrupting()
    cache: Cache[Any, Any] = Cache({i: i for i in range(10)}, on_evict=listener)
    if computed:
        with computing(cache, 5, -1), pytest.raises(KeyboardInterrupt):
            cache.drain()
    else:
        with pytest.raises(KeyboardInterrupt):
            cache.drain()
    assert set(listener.departed) == set(range(10))
    assert cache == {**{i: i for i in range(10)}, 5: -1 if computed else 5}


def test_an_interrupt_in_the_listener_of_an_expired_entry_reaches_the_reader() -> None:
    now = 0.0
    listener = Interrupting()
    cache: Cache[Any, Any] = Cache({1: 1, 2: 2}, expire_after_write=10, clock=lambda: now, on_evict=listener)

    @cached(cache=cache)
    def double(number: int) -> int:
        return 2 * number

    assert list(cache) == [1, 2] or list(cache) == [2, 1]
    now = 20.0
    with pytest.raises(KeyboardInterrupt):
        list(cache)
    assert not cache
    assert double(3) == 6
    now, listener.departed = 40.0, []
    with pytest.raises(KeyboardInterrupt):
        double(3)
    assert double(3) == 6


def test_what_stops_a_program_passes_through_a_listener_with_its_arguments() -> None:
    stop = SystemExit("enough")

    def on_evict(key: int, value: int, cause: str) -> None:
        cache.get(key)  # which is not interrupted by the one that came before it
        raise stop

    cache: Cache[int, int] = Cache({i: i for i in range(3)}, on_evict=on_evict)
    with pytest.raises(SystemExit) as raised:
        cache.clear()
    assert raised.value is stop
    assert not cache


def test_an_interrupt_of_the_clock_reaches_the_caller_with_what_the_call_raised() -> None:
    interrupts = 0

    def clock() -> float:
        nonlocal interrupts
        if interrupts:
            interrupts -= 1
            signal.raise_signal(signal.SIGINT)
        return 1.0

    cache: Cache[int, int] = Cache({1: 1}, expire_after_write=10, clock=clock)
    interrupts = 1
    with pytest.raises(KeyboardInterrupt) as raised:
        cache[2]
    assert isinstance(raised.value.__context__, KeyError)
    assert cache[1] == 1


def test_the_thread_that_removes_expired_entries_survives_an_interrupt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    listener = Interrupting()
    cache: Cache[Any, Any] = Cache({1: 1}, expire_after_write=10, clock=lambda: now, on_evict=listener)
    now = 20.0
    sweep(weakref.ref(cache))
    assert listener.departed == [1]
    assert "KeyboardInterrupt" in caplog.text


def test_an_interrupt_in_the_listener_of_a_collected_cache_loses_no_entry() -> None:
    listener = Interrupting()
    reported: list[Any] = []
    cache: Cache[Any, Any] = Cache({i: i for i in range(3)}, on_evict=listener)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_type))
        del cache
        gc.collect()
    assert sorted(listener.departed) == [0, 1, 2]
    assert reported == [KeyboardInterrupt]
