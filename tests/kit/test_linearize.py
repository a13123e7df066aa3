"""The checker itself: histories whose verdict is known, and maps broken on purpose, each in its own way.

The broken maps have a fixed schedule: a rendezvous with the other thread in the middle of an operation, so
that the fault occurs in every run.
"""

from itertools import count, permutations
from math import inf
from random import Random
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.kit.linearize import (
    REFUSED,
    Call,
    History,
    Model,
    Operation,
    Recorder,
    Verdict,
    assert_linearizable,
    check,
    timeline,
)
from tests.maps.mixes import Becomes, Grows, call, watched
from tests.maps.model import per_key, whole_map

# A register: the smallest structure there is.


def step(state: int, operation: Operation) -> Any:
    """A register that starts with 0."""
    if operation.name == "write":
        return operation.args[0]
    return state if operation.result == state else REFUSED


register = Model(0, step, reads=frozenset(["read"]))


def write(thread: int, value: int, invoked: int, returned: float) -> Operation:
    return Operation(thread, invoked, "write", (value,), invoked, returned, None)


def read(thread: int, result: int, invoked: int, returned: float) -> Operation:
    return Operation(thread, invoked, "read", (), invoked, returned, result)


GOOD = {
    "nothing": [],
    "one thread": [write(0, 1, 0, 1), read(0, 1, 2, 3), write(0, 2, 4, 5), read(0, 2, 6, 7)],
    "reads during a write see it or not": [write(0, 1, 0, 9), read(1, 1, 1, 5), read(2, 0, 2, 6)],
    "equal stamps are no order": [write(0, 1, 0, 5), read(1, 0, 5, 9)],
    "the long write comes last": [write(0, 1, 0, 20), write(1, 2, 1, 2), read(1, 2, 3, 4), read(1, 1, 5, 6)],
    "a write that never returned is seen": [write(0, 1, 0, inf), read(1, 0, 1, 2), read(1, 1, 3, 4)],
    "a write that never returned is not seen": [write(0, 1, 0, inf), read(1, 0, 1, 2), read(1, 0, 3, 4)],
}

BAD = {
    "a value nobody wrote": [write(0, 1, 0, 1), read(0, 2, 2, 3)],
    "a stale read": [write(0, 1, 0, 1), read(1, 0, 2, 3)],
    "a read of the future": [read(1, 1, 0, 1), write(0, 1, 2, 3)],
    "new, then old": [write(0, 1, 0, 9), read(1, 1, 1, 2), read(2, 0, 3, 4)],
    "one thread's order at equal stamps": [write(0, 1, 5, 5), read(0, 0, 5, 5)._replace(number=6)],
    "two readers disagree": [
        *(write(0, 1, 0, 9), write(1, 2, 0, 9)),
        *(read(2, 1, 1, 3), read(2, 2, 4, 8), read(3, 2, 1, 3), read(3, 1, 4, 8)),
    ],
    "an old value comes back": [write(0, 1, 0, 1), write(0, 2, 2, 9), read(1, 2, 3, 4), read(1, 1, 5, 6)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_with_an_explanation_is_ok(name: str) -> None:
    assert check(GOOD[name], register).verdict is Verdict.OK


@pytest.mark.parametrize("name", BAD)
def test_a_history_without_an_explanation_is_illegal(name: str) -> None:
    assert check(BAD[name], register).verdict is Verdict.ILLEGAL


def test_every_small_history_gets_the_verdict_of_trying_all_orders(seed: int) -> None:
    random = Random(seed)
    verdicts = set()
    for _ in range(2000):
        history = random_history(random, 5)
        verdict = check(history, register).verdict
        assert verdict is by_brute_force(history), timeline(history)
        verdicts.add(verdict)
    assert verdicts == {Verdict.OK, Verdict.ILLEGAL}


def random_history(random: Random, size: int) -> History:
    """Operations of three threads at random instants with random results; the last may be pending."""
    history: list[Operation] = []
    clock = [0, 0, 0]
    for _ in range(size):
        thread = random.randrange(3)
        invoked = clock[thread] + random.randrange(4)
        clock[thread] = returned = invoked + random.randrange(6)
        make = random.choice((write, read))
        history.append(make(thread, random.randrange(3), invoked, returned)._replace(number=len(history)))
    if random.random() < 0.3:
        last = history.pop()
        history.append(last._replace(returned=inf))
    return history


def by_brute_force(history: History) -> Verdict:
    pending = [operation for operation in history if operation.returned == inf]
    finished = [operation for operation in history if operation.returned < inf]
    chosen = [finished, finished + pending]
    lines = (line for operations in chosen for line in permutations(operations))
    return Verdict.OK if any(map(explains, lines)) else Verdict.ILLEGAL


def explains(line: History) -> bool:
    if any(later.precedes(sooner) for n, sooner in enumerate(line) for later in line[n:]):
        return False
    state: Any = 0
    for operation in line:
        state = step(state, operation)
        if state is REFUSED:
            return False
    return True


def test_running_out_of_budget_is_unknown_and_not_a_pass() -> None:
    history = [write(thread, thread, 0, 9) for thread in range(8)] + [read(9, 99, 0, 9)]
    assert check(history, register, budget=100).verdict is Verdict.UNKNOWN
    with pytest.raises(AssertionError, match="unknown"):
        assert_linearizable(history, register, budget=100)


def test_pruning_keeps_a_history_of_many_overlaps_cheap() -> None:
    history = [write(thread, 1, 0, 9) for thread in range(12)] + [read(13, 2, 0, 9)]
    assert check(history, register, budget=2**14).verdict is Verdict.ILLEGAL  # of 12! orders


def test_a_violation_at_one_key_is_found_among_others() -> None:
    history = [
        *(key_operation(key, "__setitem__", (key, 1), 0, 1, None) for key in range(50)),
        *(key_operation(key, "get", (key,), 2, 3, None if key == 17 else 1) for key in range(50)),
    ]
    assert check(history, per_key)[:2] == (Verdict.ILLEGAL, 17)


def key_operation(
    thread: int, name: str, args: tuple[Any, ...], invoked: int, returned: int, result: object
) -> Operation:
    return Operation(thread, invoked, name, args, invoked, returned, result)


def test_the_pieces_of_a_call_may_take_effect_apart() -> None:
    history = [
        key_operation(0, "set_many", (["a", "b"], [1, 2]), 0, 9, None),
        key_operation(1, "get_many", (["a", "b"],), 1, 2, [1, None]),
        key_operation(1, "get_many", (["a", "b"],), 3, 4, [1, 2]),
    ]
    assert check(history, per_key).verdict is Verdict.OK
    assert check(history, whole_map).verdict is Verdict.OK


def test_a_counter_example_is_small_and_drawn() -> None:
    history = [
        *(write(0, 1, 0, 1), read(0, 1, 2, 3)),  # over before the trouble begins
        *(write(0, 2, 10, 20), read(2, 2, 11, 30)),  # the read does not matter
        *(read(1, 2, 12, 14), read(1, 1, 15, 16), read(1, 2, 17, 18)),  # what comes after does not matter
    ]
    assert str(check(history, register)).splitlines() == [
        "illegal: no order found for 'everything', starting from 1:",
        "thread 0: [write(2) -> None          ...",
        "thread 1:  [read() -> 2][read() -> 1]",
        "in all of this:",
        "thread 0: [write(1) -> None][read() -> 1][write(2) -> None                        ]",
        "thread 1:                                  [read() -> 2][read() -> 1][read() -> 2]",
        "thread 2:                                 [read() -> 2                             ]",
    ]


def test_the_recorder_notes_order_results_and_exceptions() -> None:
    recorder = Recorder(2, clock=count().__next__)
    target: dict[str, int] = {}
    recorder.perform(1, [call("__setitem__", "a", 1), call("pop", "a")], target)
    recorder.perform(0, [call("pop", "a")], target)
    assert recorder.history() == [
        Operation(0, 0, "pop", ("a",), 4, 5, KeyError),
        Operation(1, 0, "__setitem__", ("a", 1), 0, 1, None),
        Operation(1, 1, "pop", ("a",), 2, 3, 1),
    ]


# Maps broken on purpose

MEET = Call("get", ("meeting point",), lambda target: target.meet())
"""A read of a key that nobody writes, on the way to which two threads wait for each other."""


class Broken(dict[Any, Any]):
    """A dict whose faulty operations have a rendezvous with the other thread in the middle."""

    def __init__(self) -> None:
        self._meeting = Barrier(2, timeout=PATIENCE)

    def meet(self) -> None:
        self._meeting.wait()


class LosesUpdates(Broken):
    def add(self, key: Any, delta: int) -> int:
        new: int = self.get(key, 0) + delta
        self.meet()
        self[key] = new
        return new


class ReadsStale(Broken):
    def get(self, key: Any, default: Any = None) -> Any:
        cache = self.__dict__.setdefault("cache", {})
        return cache.setdefault(key, super().get(key, default))


class TearsClear(Broken):
    def clear(self) -> None:
        del self["a"]
        self.meet()
        self.meet()
        del self["b"]


class SetsDefaultTwice(Broken):
    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key in self:
            return self[key]
        self.meet()
        self[key] = default
        return default


class MixesInstants(Broken):
    def snapshot(self) -> dict[Any, Any]:
        seen = {key: self[key] for key in ["a"] if key in self}
        self.meet()
        self.meet()
        return seen | {key: self[key] for key in ["b"] if key in self}


class LagsInLen(Broken):
    counted = 0

    def __len__(self) -> int:
        return self.counted

    def __setitem__(self, key: Any, value: Any) -> None:
        self.counted = super().__len__()
        super().__setitem__(key, value)


class PopsTwice(Broken):
    def pop(self, key: Any, *default: Any) -> Any:
        value = self[key]
        self.meet()
        super().pop(key, None)
        return value


class ComputesTwice(Broken):
    def compute(self, key: Any, fn: Any, default: Any = None) -> Any:
        while True:
            old = self.get(key, default)
            new = fn(old)
            self.meet()
            self.meet()
            if self.get(key, default) == old:
                self[key] = new
                return new


class ResurrectsInCompute(Broken):
    def compute(self, key: Any, fn: Any, default: Any = None) -> Any:
        old = self.get(key, default)
        self.meet()
        self.meet()
        self[key] = fn(old)
        return self[key]


class LosesInDrain(Broken):
    def drain(self) -> dict[Any, Any]:
        taken = dict(self)
        self.meet()
        self.meet()
        self.clear()
        return taken


class SwapsOutTwice(Broken):
    def swap(self, key: Any, value: Any) -> Any:
        old = self.get(key)
        self.meet()
        self[key] = value
        return old


class SwapsForBoth(Broken):
    def compare_and_swap(self, key: Any, expected: Any, new: Any) -> bool:
        same = bool(self.get(key) == expected)
        self.meet()
        if same:
            self[key] = new
        return same


class FindsNothingToPop(Broken):
    def popitem(self) -> tuple[Any, Any]:
        if "a" in self:
            return "a", self.pop("a")
        self.meet()
        self.meet()
        if "b" in self:
            return "b", self.pop("b")
        raise KeyError


class CountsDeletedTwice(Broken):
    def delete_many(self, keys: list[Any]) -> int:
        there = [key for key in keys if key in self]
        self.meet()
        for key in there:
            self.pop(key, None)
        return len(there)


SET_A, SET_B = call("__setitem__", "a", 1), call("__setitem__", "b", 2)

FAULTS: list[tuple[type[Broken], Model, list[Call], list[Call]]] = [
    (LosesUpdates, per_key, [call("add", "a", 1)], [call("add", "a", 1)]),
    (ReadsStale, per_key, [MEET, MEET, call("get", "a")], [call("get", "a"), MEET, SET_A, MEET]),
    (TearsClear, whole_map, [SET_A, SET_B, call("clear")], [MEET, call("get", "a"), call("get", "b"), MEET]),
    (SetsDefaultTwice, per_key, [call("setdefault", "a", 1)], [call("setdefault", "a", 2)]),
    (MixesInstants, whole_map, [call("snapshot")], [MEET, SET_A, SET_B, MEET]),
    (LagsInLen, whole_map, [SET_A, MEET], [MEET, call("__len__")]),
    (PopsTwice, per_key, [SET_A, MEET, call("pop", "a")], [MEET, call("pop", "a")]),
    (ComputesTwice, per_key, [watched("compute", "a", Becomes(5))], [MEET, SET_A, MEET, MEET, MEET]),
    (
        ResurrectsInCompute,
        per_key,
        [SET_A, watched("compute", "a", Grows(5), 0), MEET],
        [MEET, call("__delitem__", "a"), MEET, MEET, call("get", "a")],
    ),
    (LosesInDrain, whole_map, [call("drain"), MEET], [MEET, SET_A, MEET, MEET, call("get", "a")]),
    (SwapsOutTwice, per_key, [SET_A, MEET, call("swap", "a", 2)], [MEET, call("swap", "a", 3)]),
    (
        SwapsForBoth,
        per_key,
        [SET_A, MEET, call("compare_and_swap", "a", 1, 2)],
        [MEET, call("compare_and_swap", "a", 1, 3)],
    ),
    (FindsNothingToPop, whole_map, [SET_B, call("popitem")], [MEET, SET_A, call("__delitem__", "b"), MEET]),
    (
        CountsDeletedTwice,
        per_key,
        [SET_A, MEET, call("delete_many", ["a"])],
        [MEET, call("delete_many", ["a"])],
    ),
]


@pytest.mark.parametrize(
    ("broken", "model", "one", "other"), FAULTS, ids=[each[0].__name__ for each in FAULTS]
)
def test_a_broken_map_is_caught(
    broken: type[Broken], model: Model, one: list[Call], other: list[Call]
) -> None:
    recorder, target, programs = Recorder(2), broken(), [one, other]
    hammer(lambda thread: recorder.perform(thread, programs[thread], target), 2)
    history = recorder.history()
    assert not any(operation.result is BrokenBarrierError for operation in history)
    report = check(history, model)
    print(report)
    assert report.verdict is Verdict.ILLEGAL
