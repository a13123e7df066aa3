"""No sort of shared state is overlooked: its race is found, or nothing is called exhausted.

Each program has a check and a later act on one sort of state. In between, the threads share nothing else.
"""

from __future__ import annotations

import array
import collections
import ctypes
import functools
import io
import itertools
import operator
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.explore.programs import together
from tests.kit.hammer import PATIENCE
from threadproof.explore import explore

number = 0


def exchanged(read: Callable[[], int], write: Callable[[int], object]) -> Callable[[], None]:
    """Both threads add one, by a read and a write."""

    def add() -> None:
        value = read()
        write(value + 1)

    def test() -> None:
        write(0)
        together(add, add)
        assert read() == 2

    return test


def with_new(make: Callable[[], Any], read: Callable[[Any], int], write: Callable[[Any, int], object]) -> Any:
    """As exchanged(), of an object that each run makes anew."""

    def test() -> None:
        state = make()
        exchanged(lambda: read(state), lambda value: write(state, value))()

    return test


class Plain:
    n = 0


class Slots:
    __slots__ = ("n",)


class Guarded:
    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)

    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name)


class Stored:
    """A descriptor without __set__, whose code is watched."""

    def __get__(self, owner: Any, kind: Any = None) -> int:
        return len(owner.made)


class Structure(ctypes.Structure):
    _fields_ = [("n", ctypes.c_int)]


def set_global(value: int) -> None:
    global number
    number = value


def set_of(count: int, state: set[int]) -> None:
    state.clear()
    state.update(range(count))


def resized(state: Any, count: int) -> None:
    state.clear()
    for each in range(count):
        state.append(each)


def cell() -> None:
    n = 0

    def write(value: int) -> None:
        nonlocal n
        n = value

    exchanged(lambda: n, write)()


def class_attribute() -> None:
    class Owner:
        n = 0

    exchanged(lambda: Owner.n, lambda value: setattr(Owner, "n", value))()


def class_attribute_by_instance() -> None:
    class Owner:
        n = 0

    owner = Owner()
    exchanged(lambda: owner.n, lambda value: setattr(Owner, "n", value))()


def function_attribute() -> None:
    def owner() -> None: ...

    def add() -> None:
        owner.n = owner.n + 1  # type: ignore[attr-defined]

    owner.n = 0  # type: ignore[attr-defined]
    together(add, add)
    assert owner.n == 2  # type: ignore[attr-defined]


def replaced_method() -> None:
    class Owner:
        def n(self) -> int:
            return 0

    owner = Owner()

    def write(value: int) -> None:
        Owner.n = lambda self: value  # type: ignore[method-assign]

    exchanged(lambda: owner.n(), write)()


def replaced_method_of_instance() -> None:
    class Owner:
        def n(self) -> int:
            return 0

    owner = Owner()

    def write(value: int) -> None:
        owner.n = lambda: value  # type: ignore[method-assign]

    exchanged(lambda: owner.n(), write)()


def replaced_class_function() -> None:
    class Owner:
        @staticmethod
        def n() -> int:
            return 0

    def write(value: int) -> None:
        Owner.n = lambda: value  # type: ignore[method-assign]

    exchanged(lambda: Owner.n(), write)()


def cached_property() -> None:
    made = itertools.count()

    class Owner:
        @functools.cached_property
        def value(self) -> object:
            return next(made)

    owner = Owner()
    got: list[object] = []
    together(*[lambda: got.append(owner.value)] * 2)
    assert got == [0, 0]


def own_descriptor() -> None:
    class Owner:
        n = Stored()

        def __init__(self) -> None:
            self.made: list[int] = []

    owner = Owner()

    def add() -> None:
        if owner.n == 0:
            owner.made.append(1)

    together(add, add)
    assert owner.made == [1]


def cached_function() -> None:
    made: list[int] = []

    @functools.lru_cache
    def value() -> object:
        made.append(1)
        return object()

    got: list[object] = []
    together(*[lambda: got.append(value())] * 2)
    assert got[0] is got[1]


def cached_quietly() -> None:
    @functools.cache
    def value() -> object:
        return object()

    got: list[object] = [None, None]
    together(lambda: operator.setitem(got, 0, value()), lambda: operator.setitem(got, 1, value()))
    assert got[0] is got[1]


def cached_method() -> None:
    class Owner:
        @functools.lru_cache  # noqa: B019
        def value(self) -> object:
            return object()

    owner = Owner()
    got: list[object] = [None, None]

    def store(place: int) -> None:
        got[place] = owner.value()

    together(lambda: store(0), lambda: store(1))
    assert got[0] is got[1]


def counted() -> None:
    """Two threads take two numbers each from one count, and expect neighbours."""
    numbers = itertools.count()
    gaps: list[int] = []

    def take() -> None:
        first = next(numbers)
        second = next(numbers)
        gaps.append(second - first)

    together(take, take)
    assert gaps == [1, 1]


def shared_loop(make: Callable[[], Iterator[int]]) -> Callable[[], None]:
    def test() -> None:
        items = make()
        gaps: list[int] = []

        def take() -> None:
            pair = []
            for each in items:
                pair.append(each)
                if len(pair) == 2:
                    break
            gaps.append(pair[1] - pair[0])

        together(take, take)
        assert gaps == [1, 1]

    return test


def loop_over(wrap: Callable[[list[int]], Any]) -> Callable[[], None]:
    """One thread goes over a list through an iterator of itertools, and another appends."""

    def test() -> None:
        items = [1]
        seen: list[int] = []

        def read() -> None:
            iterator = wrap(items)
            for _ in iterator:
                seen.append(1)  # noqa: PERF401 - the loop is what is tested

        together(read, lambda: items.append(2))
        assert len(seen) == 1

    return test


def weak_reference() -> None:
    class Owner:
        pass

    kept = [Owner()]
    reference = weakref.ref(kept[0])

    def use() -> None:
        if reference() is not None:
            assert reference() is not None

    together(use, kept.clear)


def vanishing_weak_value() -> None:
    class Owner:
        pass

    kept = [Owner()]
    known = weakref.WeakValueDictionary({"key": kept[0]})

    def use() -> None:
        if "key" in known:
            assert known["key"] is not None

    together(use, kept.clear)


def spread_call() -> None:
    state = array.array("i", [0])

    def add() -> None:
        value = operator.getitem(*(state, 0))
        operator.setitem(*(state, 0, value + 1))

    together(add, add)
    assert state[0] == 2


def bound_methods() -> None:
    state = {"n": 0}
    get, put = state.__getitem__, state.__setitem__
    exchanged(lambda: get("n"), lambda value: put("n", value))()


def by_globals() -> None:
    exchanged(lambda: number, lambda value: globals().__setitem__("number", value))()


def key_function() -> None:
    """A function in C calls the program's code in its midst."""
    items = [3, 1, 2]
    state = Plain()

    def key(each: int) -> int:
        state.n = state.n + 1
        return each

    together(*[lambda: sorted(items, key=key)] * 2)
    assert state.n == 6


def generator() -> None:
    def numbers() -> Iterator[int]:
        yield from range(10)

    items = numbers()
    gaps: list[int] = []

    def take() -> None:
        first = next(items)
        second = next(items)
        gaps.append(second - first)

    together(take, take)
    assert gaps == [1, 1]


def own_length() -> None:
    items: list[int] = []

    def add() -> None:
        if len(items) < 1:
            items.append(1)

    together(add, add)
    assert len(items) == 1


def membership(make: Callable[[], Any], add: Callable[[Any], object]) -> Callable[[], None]:
    def test() -> None:
        state = make()
        added: list[int] = []

        def change() -> None:
            if 1 not in state:
                add(state)
                added.append(1)

        together(change, change)
        assert added == [1]

    return test


def truth() -> None:
    items: list[int] = []

    def add() -> None:
        if not items:
            items.append(1)

    together(add, add)
    assert len(items) == 1


STATES: dict[str, Callable[[], None]] = {
    "attribute": with_new(Plain, lambda s: s.n, lambda s, v: setattr(s, "n", v)),
    "slot": with_new(Slots, lambda s: s.n, lambda s, v: setattr(s, "n", v)),
    "attribute by object's method": with_new(Guarded, lambda s: s.n, lambda s, v: setattr(s, "n", v)),
    "own dict": with_new(Plain, lambda s: s.n, lambda s, v: s.__dict__.update(n=v)),
    "vars": with_new(Plain, lambda s: s.n, lambda s, v: operator.setitem(vars(s), "n", v)),
    "object.__setattr__": with_new(Plain, lambda s: s.n, lambda s, v: object.__setattr__(s, "n", v)),
    "simple namespace": with_new(SimpleNamespace, lambda s: s.n, lambda s, v: setattr(s, "n", v)),
    "attrgetter": with_new(Plain, operator.attrgetter("n"), lambda s, v: setattr(s, "n", v)),
    "class attribute": class_attribute,
    "class attribute by instance": class_attribute_by_instance,
    "function attribute": function_attribute,
    "method": replaced_method,
    "method of an instance": replaced_method_of_instance,
    "static method": replaced_class_function,
    "cached property": cached_property,
    "descriptor": own_descriptor,
    "global": exchanged(lambda: number, set_global),
    "global by dict": by_globals,
    "cell": cell,
    "list item": with_new(lambda: [0], lambda s: s[0], lambda s, v: operator.setitem(s, 0, v)),
    "list length": with_new(list, len, resized),
    "list slice": with_new(lambda: [0], lambda s: s[:1][0], lambda s, v: s.__setitem__(slice(1), [v])),
    "dict item": with_new(dict, lambda s: s["n"], lambda s, v: s.update(n=v)),
    "dict get": with_new(dict, lambda s: s.get("n", 0), lambda s, v: s.update({"n": v})),
    "dict views": with_new(dict, lambda s: next(iter(s.values())), lambda s, v: s.update(n=v)),
    "dict length": with_new(dict, len, lambda s, v: s.update(dict.fromkeys(range(v)))),
    "bound methods of a dict": bound_methods,
    "set length": with_new(set, len, lambda s, v: set_of(v, s)),
    "in a list": membership(list, lambda s: s.append(1)),
    "in a dict": membership(dict, lambda s: s.setdefault(1)),
    "in a set": membership(set, lambda s: s.add(1)),
    "in a deque": membership(collections.deque, lambda s: s.append(1)),
    "in an array": membership(lambda: array.array("i"), lambda s: s.append(1)),
    "len": own_length,
    "truth": truth,
    "deque": with_new(lambda: collections.deque([0]), lambda s: s[0], lambda s, v: s.__setitem__(0, v)),
    "deque length": with_new(collections.deque, len, resized),
    "array": with_new(lambda: array.array("i", [0]), lambda s: s[0], lambda s, v: operator.setitem(s, 0, v)),
    "array as bytes": with_new(
        lambda: array.array("i", [0]),
        lambda s: int.from_bytes(s.tobytes(), "little"),
        lambda s, v: operator.setitem(s, 0, v),
    ),
    "bytearray": with_new(lambda: bytearray(1), lambda s: s[0], lambda s, v: operator.setitem(s, 0, v)),
    "memoryview": with_new(
        lambda: memoryview(bytearray(1)), lambda s: s[0], lambda s, v: operator.setitem(s, 0, v)
    ),
    "bytes in memory": with_new(
        io.BytesIO, lambda s: len(s.getvalue()), lambda s, v: s.write(b"1" * (v - len(s.getvalue())))
    ),
    "ordered dict": with_new(collections.OrderedDict, lambda s: s["n"], lambda s, v: s.update(n=v)),
    "default dict": with_new(
        lambda: collections.defaultdict(int), lambda s: s["n"], lambda s, v: operator.setitem(s, "n", v)
    ),
    "counter": with_new(collections.Counter, lambda s: s["n"], lambda s, v: operator.setitem(s, "n", v)),
    "structure in C": with_new(Structure, lambda s: s.n, lambda s, v: setattr(s, "n", v)),
    "number in C": with_new(ctypes.c_int, lambda s: s.value, lambda s, v: setattr(s, "value", v)),
    "count": counted,
    "generator": generator,
    "loop over a count": shared_loop(itertools.count),
    "loop over a list's iterator": shared_loop(lambda: iter([0, 1, 2, 3])),
    "loop over a generator": shared_loop(lambda: (each for each in range(9))),
    "chain": loop_over(itertools.chain),
    "islice": loop_over(lambda items: itertools.islice(items, 9)),
    "zip": loop_over(lambda items: zip(items, range(9), strict=False)),
    "lru_cache": cached_function,
    "cache without other steps": cached_quietly,
    "cached method": cached_method,
    "weak reference": weak_reference,
    "weak value": vanishing_weak_value,
    "call with a tuple": spread_call,
    "called back": key_function,
}


@pytest.mark.parametrize("strategy", ["auto", "dpor", "dfs"])
@pytest.mark.parametrize("state", STATES)
def test_a_race_is_found_or_nothing_is_called_exhausted(state: str, strategy: str) -> None:
    found = explore(STATES[state], strategy=strategy, schedules=200, seconds=PATIENCE)
    assert found.failure or not found.exhausted, found
