"""An interrupt between any two instructions leaves no key reserved, and loses no entry.

A signal handler that raises, or PyThreadState_SetAsyncExc(), can do that wherever Python code runs. Here a
trace function raises instead, at the first instruction of the maps' Python code, at the second, and so on.
"""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.kit.interrupting import interrupt, stopped_at
from tests.kit.waiting import until
from tests.maps.computations import computing
from tests.maps.conftest import MapMaker
from tests.maps.operations import Map
from threadproof import Cache, SnapshotMap, cached, maps
from threadproof._core import Reservation
from threadproof.maps.cache_threads import sweep

HERE = maps.__path__[0]


def in_maps(file: str) -> bool:
    return file.startswith(HERE)


class Number:
    """Has its own +, so that add() reserves the key."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __add__(self, other: Any) -> Number:
        return Number(self.value + getattr(other, "value", other))


OPERATIONS: dict[str, Callable[[Map], object]] = {
    "compute": lambda m: m.compute("k", lambda old: Number(2)),
    "compute, absent": lambda m: m.compute("new", lambda old: Number(2), timeout=1),
    "compute_if_absent": lambda m: m.compute_if_absent("new", lambda key: Number(2)),
    "compute_if_present": lambda m: m.compute_if_present("k", lambda old: Number(2)),
    "merge": lambda m: m.merge("k", Number(2), lambda old, new: old + new),
    "add": lambda m: m.add("k", 1, Number(0)),
    "set": lambda m: m.__setitem__("k", Number(2)),
    "pop": lambda m: m.pop("k"),
    "popitem": lambda m: m.popitem(),
    "setdefault": lambda m: m.setdefault("new", Number(2)),
    "compare_and_swap": lambda m: m.compare_and_swap("k", 0, Number(2)),
    "update": lambda m: m.update(k=Number(2), new=Number(3)),
    "len": len,
    "list": list,
    "clear": lambda m: m.clear(),
    "drain": lambda m: m.drain(),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a generator it closes
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_interrupt_anywhere_leaves_no_key_reserved(make_map: MapMaker, operation: str) -> None:
    step = 0
    while True:
        step += 1
        m = make_map(k=Number(1), other=Number(1))
        interrupted = stopped_at(step, partial(OPERATIONS[operation], m), in_maps)
        assert not Reservation.held(), f"a reservation is left at instruction {step}"
        usable = threading.Thread(target=m.update, args=({"k": Number(5), "new": Number(5)},), daemon=True)
        usable.start()
        usable.join(60)
        assert not usable.is_alive(), f"a key is locked for good at instruction {step}"
        m.check()  # type: ignore[attr-defined]  # every map here has it
        if not interrupted:
            return


def test_an_interrupted_transaction_leaves_the_map_as_it_was_or_changed() -> None:
    def change(m: SnapshotMap[str, int]) -> None:
        with m.transaction() as t:
            t["a"], t["b"] = 2, 2

    step = 0
    while True:
        step += 1
        m: SnapshotMap[str, int] = SnapshotMap(a=1, b=1)
        interrupted = stopped_at(step, partial(change, m), in_maps)
        assert dict(m.snapshot()) in ({"a": 1, "b": 1}, {"a": 2, "b": 2})
        m.check()
        if not interrupted:
            return


def test_an_interrupted_drain_loses_nothing(make_map: MapMaker) -> None:
    m = make_map({i: i for i in range(10)})
    with computing(m, 5, -1):
        interrupt(m.drain, waits=lambda: until(lambda: not m))
        assert dict(m.items()) == {i: i for i in range(10)}
    assert m == {**{i: i for i in range(10)}, 5: -1}  # and the computation has gone on


def test_an_interrupted_drain_leaves_newer_values(make_map: MapMaker) -> None:
    m = make_map({i: i for i in range(10)})

    def newer() -> None:
        until(lambda: not m)
        m[3] = m[5] = "newer"

    with computing(m, 5, -1):
        interrupt(m.drain, waits=newer)
    assert m == {**{i: i for i in range(10)}, 3: "newer", 5: "newer"}


class Colliding:
    """Keys of one hash, whose comparison raises as often as is wanted."""

    failures = 0
    hash_fails = False

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        if Colliding.hash_fails:
            raise ZeroDivisionError
        return 1

    def __eq__(self, other: object) -> bool:
        if Colliding.failures > 0:
            Colliding.failures -= 1
            raise ZeroDivisionError
        return isinstance(other, Colliding) and self.number == other.number


@pytest.mark.parametrize("failures", [1, 3, 10**9])
def test_a_drain_that_cannot_make_its_dict_loses_nothing(make_map: MapMaker, failures: int) -> None:
    keys = [Colliding(number) for number in range(20)]
    m = make_map((key, key.number) for key in keys)
    Colliding.failures = failures
    try:
        with pytest.raises(ZeroDivisionError):
            m.drain()
    finally:
        Colliding.failures = 0
    assert sorted(m.values()) == list(range(20))
    assert all(m[key] == key.number for key in keys)


def test_a_drain_whose_keys_cannot_be_hashed_any_more_loses_nothing(make_map: MapMaker) -> None:
    keys = [Colliding(number) for number in range(5)]
    m = make_map((key, key.number) for key in keys)
    Colliding.hash_fails = True
    try:
        with pytest.raises(ZeroDivisionError):
            m.drain()
    finally:
        Colliding.hash_fails = False
    assert sorted(m.values()) == list(range(5))


# Interrupts in functions that a cache calls between its change and the end of the call


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
