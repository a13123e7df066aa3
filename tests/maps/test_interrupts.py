"""An interrupt between any two instructions leaves no key reserved, and loses no entry.

A signal handler that raises, or PyThreadState_SetAsyncExc(), can do that wherever Python code runs. Here a
trace function raises instead, at the first instruction of the maps' Python code, at the second, and so on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.kit.interrupting import interrupt, stopped_at
from tests.kit.waiting import until
from tests.maps.computations import computing
from tests.maps.conftest import MapMaker
from tests.maps.operations import Map
from threadproof import SnapshotMap, maps
from threadproof._core import Reservation

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
