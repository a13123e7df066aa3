"""Every operation of every map, with hostile keys, values and functions, which act in the middle of it.

The acts on the map are recorded beside the operation that they interrupt, and one order must explain both:
the operation keeps its promise, whatever happens in the middle of it. One that raises has done nothing.
"""

import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from random import Random
from typing import Any
from unittest.mock import ANY

import pytest

from tests.kit.hammer import hammer, pause
from tests.kit.hostile import (
    Act,
    Boom,
    HostileKey,
    HostileValue,
    Trap,
    collect,
    fail,
    in_a_thread,
    springing,
    tolerant,
    watch,
)
from tests.kit.linearize import Call, Operation, Recorder, assert_linearizable
from tests.maps.conftest import MapMaker
from tests.maps.mixes import MAKERS, Becomes, Round, call
from tests.maps.model import whole_map
from tests.maps.soak import soak
from threadproof import DeadlockError

PLACES = ("key hash", "key eq", "key del", "value eq", "value del", "value dies", "function", "equal")
"""Where the hostile code is; "value dies" is a weak reference's callback."""

SIZE = 6  # keys, all with one hash
TARGET = 3  # the number of the key that the operations are about


class HostileRound(Round):
    """Makes calls about the target; the functions in them spring the trap when that is the place."""

    def __init__(self, random: Random, place: str, trap: Trap) -> None:
        super().__init__(
            random, self.probe, range(TARGET, TARGET + 1), count(100).__next__, [value_of(TARGET)]
        )
        self.place = place
        self.trap = trap

    def probe(self, number: int) -> HostileKey:
        """Equal to a stored key, and hostile where those are."""
        event = self.place.removeprefix("key ")
        return HostileKey(number, 0, event if event in ("hash", "eq") else "", self.trap)

    def maker(self) -> Callable[..., Any]:
        return self.hostile(Becomes(self.value()), "function")

    def changer(self) -> Callable[..., Any]:
        return self.maker()

    def hostile(self, function: Callable[..., Any], place: str) -> Callable[..., Any]:
        return springing(function, self.trap) if place == self.place else function


def value_of(number: int) -> int:
    return number * 10


def with_equal(name: str) -> Callable[[HostileRound], Call]:
    """The operation with a function of the user's for comparing."""

    def make(r: HostileRound) -> Call:
        plain = MAKERS[name](r)
        equal = r.hostile(operator.eq, "equal")
        return plain._replace(do=lambda target: getattr(target, name)(*plain.args, equal=equal))

    return make


def unmodelled(read: Callable[[Any], object]) -> Callable[[HostileRound], Call]:
    """A call about which nothing is checked but that it returns, or raises what the trap raises."""
    return lambda r: Call("unmodelled", (), lambda target: bool(read(target)))


OPERATIONS: dict[str, Callable[[HostileRound], Call]] = {
    **MAKERS,
    "compare_and_swap with equal": with_equal("compare_and_swap"),
    "compare_and_delete with equal": with_equal("compare_and_delete"),
    "copy": lambda r: Call("snapshot", (), lambda target: dict(target.copy())),
    "iteration": unmodelled(lambda target: list(target)),
    "items": unmodelled(lambda target: list(target.items())),
    "in values": unmodelled(lambda target: value_of(TARGET) in target.values()),
    "==": unmodelled(lambda target: target == contents(range(SIZE))),
    "|": unmodelled(lambda target: target | contents(range(SIZE))),
    "repr": unmodelled(repr),
}


def contents(numbers: range) -> dict[HostileKey, int]:
    """Harmless equals of what the map has."""
    return {HostileKey(number): value_of(number) for number in numbers}


@dataclass
class Scene:
    """A map in which one key and value are hostile, and a record of what is done to it."""

    target: Any
    place: str
    numbers: range

    def __post_init__(self) -> None:
        self.trap = Trap()
        self.recorder = Recorder(2)
        self.stored = [self._store(number) for number in self.numbers]

    def _store(self, number: int) -> list[Any]:
        """Put a key and a value into the map, and keep only weak references."""
        what, _, event = self.place.partition(" ")
        key = HostileKey(number, 0, event if what == "key" else "", self.trap)
        value = HostileValue(value_of(number), event if what == "value" else "", self.trap)
        self.target[key] = value
        return [watch(key, Trap()), watch(value, self.trap if event == "dies" else Trap())]

    def play(self, make_call: Callable[[HostileRound], Call], make_act: "Callable[[Scene], Act]") -> int:
        """Make the call, with the act in the middle; return how often the trap was sprung."""
        interrupted = make_call(HostileRound(Random(0), self.place, self.trap))
        self.trap.arm(make_act(self), times=3)
        hammer(lambda _: self.recorder.perform(0, [interrupted], self.target), 1)
        sprung = self.trap.sprung
        self.trap.disarm()
        return sprung

    def also(self, *calls: Call) -> Act:
        """Makes the calls in the middle of another."""
        return lambda: self.recorder.perform(1, calls, self.target)

    def check(self) -> None:
        """Some order explains the recorded calls, and the map has the content of that order."""
        self.recorder.perform(0, [call("__len__"), call("snapshot")], self.target)
        self.target.check()
        history = self.recorder.history()
        for operation in history:
            assert operation.result is not DeadlockError or operation.name in MAY_WAIT, operation
            assert operation.result in (True, False, Boom) or operation.name != "unmodelled", operation
        effective = [effect for operation in history for effect in effects(operation)]
        assert_linearizable(effective, replace(whole_map, initial=frozenset(contents(self.numbers).items())))

    def check_nothing_leaks(self) -> None:
        self.target.clear()
        self.recorder = Recorder(2)
        assert [reference() for pair in self.stored for reference in pair if reference() is not None] == []


MAY_WAIT = ("__setitem__", "pop", "drain")
"""Operations of the acts that cannot be done in the midst of a computation at the same key."""


def effects(operation: Operation) -> list[Operation]:
    """The operation, or nothing: one that raises has done nothing.

    Except that `drain` takes everything before it makes a dict of it, which hashes and compares keys again:
    when that raises, any of the keys may be lost.
    """
    result = operation.result[0] if isinstance(operation.result, tuple) else operation.result
    if operation.name == "drain" and result is Boom:
        lost = operation._replace(thread=2, name="delete", result=ANY, returned=inf)
        return [lost._replace(args=(key,)) for key in contents(range(SIZE))]
    return [] if result in (Boom, DeadlockError) or operation.name == "unmodelled" else [operation]


OTHER, SAME = HostileKey(77), HostileKey(TARGET)
USE = [
    call("__setitem__", OTHER, 1),
    call("get", OTHER),
    call("__len__"),
    call("snapshot"),
    call("pop", OTHER),
]

ACTS: dict[str, Callable[[Scene], Act]] = {
    "raises": lambda scene: fail,
    "yields": lambda scene: pause,
    "collects garbage": lambda scene: collect,
    "uses the map": lambda scene: scene.also(*USE),
    "uses it in a thread": lambda scene: in_a_thread(scene.also(*USE)),
    "overwrites": lambda scene: scene.also(call("__setitem__", SAME, 1)),
    "deletes": lambda scene: scene.also(call("pop", SAME, None)),
    "clears": lambda scene: scene.also(call("clear")),
    "drains": lambda scene: scene.also(call("drain")),
    "resizes": lambda scene: lambda: resize(scene.target),
}


def resize(target: Any) -> None:
    """Grow the map, and shrink it again."""
    keys = [HostileKey(-number, number) for number in range(1, 300)]
    target.set_many(keys, keys)
    assert target.delete_many(keys) == len(keys)


@pytest.fixture(autouse=True)
def finalizers_may_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", tolerant(sys.unraisablehook))


def scenes(make_map: MapMaker, *places: str) -> Iterator[Scene]:
    for place in places:
        for numbers in (range(SIZE), range(TARGET)):  # with the target and without
            print(f"{place} is hostile; the map has {numbers}")
            yield Scene(make_map(), place, numbers)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_keeps_its_promise_when_user_code(make_map: MapMaker, operation: str, act: str) -> None:
    for scene in scenes(make_map, *PLACES):
        scene.play(OPERATIONS[operation], ACTS[act])
        scene.check()
        scene.check_nothing_leaks()


@pytest.mark.parametrize("place", PLACES)
def test_hostile_code_is_reached(make_map: MapMaker, place: str) -> None:
    assert sum(
        scene.play(make, ACTS["yields"]) for make in OPERATIONS.values() for scene in scenes(make_map, place)
    )


def test_threads_with_hostile_keys_find_every_value_at_its_key(make_map: MapMaker, seed: int) -> None:
    print(soak(make_map(), minutes=0.02, threads=4, random=Random(seed)), "operations")


def test_a_thousand_keys_of_one_hash_are_kept_apart(make_map: MapMaker) -> None:
    numbers = range(1000)
    target = make_map()
    target.set_many(map(HostileKey, numbers), numbers)
    assert target.get_many(map(HostileKey, numbers)) == list(numbers)
    assert target.delete_many(map(HostileKey, numbers[::2])) == len(numbers[::2])
    assert sorted(target.values()) == list(numbers[1::2])
    assert target.get_many(map(HostileKey, numbers[:4])) == [None, 1, None, 3]
