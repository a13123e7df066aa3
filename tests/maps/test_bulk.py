"""Maps built of many entries at once: HashMap(mapping), update, |, fromkeys, copy, set_many."""

from __future__ import annotations

import copy
import gc
import weakref
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from tests.kit.hammer import hammer
from threadproof.maps import HashMap, SyncMap
from threadproof.maps.contract import REMOVE

NATIVE = [HashMap, SyncMap]
SIZES = [0, 1, 15, 16, 17, 257, 5_000]


class Value:
    pass


class Asking:
    """A key of user code: it runs `action` when it is hashed."""

    def __init__(self, number: int, action: Any = None) -> None:
        self.number, self.action = number, action

    def __hash__(self) -> int:
        if self.action is not None:
            self.action()
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asking) and other.number == self.number


def entries(n: int) -> dict[Any, int]:
    keys: list[Any] = [
        (i, str(i)) if i % 5 == 0 else str(i) if i % 5 == 1 else i + 0.5 if i % 5 == 2 else i
        for i in range(n)
    ]
    return dict(zip(keys, range(n), strict=True))


@pytest.mark.parametrize("cls", NATIVE)
@pytest.mark.parametrize("n", SIZES)
def test_every_way_of_building_has_the_entries(cls: type[Any], n: int) -> None:
    wanted = entries(n)
    set_many = cls()
    set_many.set_many(list(wanted), list(wanted.values()))
    updated = cls()
    updated |= wanted
    first = cls(wanted)
    made = [
        first,
        cls(list(wanted.items())),
        cls(tuple(wanted.items())),
        cls(iter(wanted.items())),
        cls(MappingProxyType(wanted)),
        cls(OrderedDict(wanted)),
        cls(first),
        cls(first.snapshot()),
        cls(SyncMap(wanted)),
        first.copy(),
        copy.copy(first),
        cls() | wanted,
        wanted | cls(),
        set_many,
        updated,
    ]
    for m in made:
        assert m.snapshot() == wanted
        assert len(m) == n
        m.check()
    assert cls.fromkeys(wanted, 7).snapshot() == dict.fromkeys(wanted, 7)
    assert cls.fromkeys(list(wanted)).snapshot() == dict.fromkeys(wanted)


@pytest.mark.parametrize("cls", NATIVE)
def test_the_last_of_equal_keys_wins_and_the_first_stays(cls: type[Any]) -> None:
    values = [Value() for _ in range(100)]
    gone = [weakref.ref(value) for value in values]
    m = cls([(i % 10, value) for i, value in enumerate(values)])
    assert len(m) == 10
    assert all(m[i] is values[90 + i] for i in range(10))
    del values
    gc.collect()
    assert [ref() is not None for ref in gone] == [False] * 90 + [True] * 10
    m.check()


def test_the_room_for_keys_that_were_the_same_is_given_back() -> None:
    m: HashMap[int, int] = HashMap.fromkeys([1, 2, 3] * 10_000, 0)
    assert len(m) == 3
    assert m.stats().buckets < 64


def test_user_code_sees_all_keys_before_its_own() -> None:
    m: HashMap[Any, int] = HashMap()
    seen: list[int] = []
    keys = [*range(100), Asking(100, lambda: seen.append(len(m))), *range(101, 200)]
    m.set_many(keys, range(200))
    assert seen[0] >= 96  # the keys of its group are hashed together
    assert len(m) == 200
    m.check()


@pytest.mark.parametrize("cls", NATIVE)
def test_an_error_leaves_the_keys_before_it(cls: type[Any]) -> None:
    m = cls()
    with pytest.raises(TypeError, match="unhashable"):
        m.set_many([*range(50), [], *range(51, 60)], range(60))
    assert m.snapshot() == {i: i for i in range(50)}
    m = cls()
    with pytest.raises(ValueError, match="REMOVE"):
        m.set_many(range(50), [*range(40), REMOVE, *range(41, 50)])
    assert m.snapshot() == {i: i for i in range(40)}
    m = cls()
    with pytest.raises(TypeError, match="element 30 is 5"):
        m.update([*((i, i) for i in range(30)), 5])
    assert m.snapshot() == {i: i for i in range(30)}


def test_a_computation_beside_it_keeps_its_result() -> None:
    m: HashMap[int, int] = HashMap()

    def fn(key: int) -> int:
        m.update({i: i for i in range(100)})
        return -1

    assert m.compute_if_absent(1000, fn) == -1
    assert m.snapshot() == {**{i: i for i in range(100)}, 1000: -1}
    m.check()


def test_a_class_with_its_own_setitem_is_copied_by_that() -> None:
    class Doubling(HashMap[int, int]):
        def __setitem__(self, key: int, value: int) -> None:
            super().__setitem__(key, 2 * value)

    m = Doubling()
    m[1] = 1
    assert m.copy()[1] == 4
    assert Doubling.fromkeys([1], 3)[1] == 6


def test_a_copy_has_the_attributes() -> None:
    class Named(HashMap[int, int]):
        pass

    m = Named({1: 2})
    m.name = "n"  # type: ignore[attr-defined]
    assert m.copy().name == "n"  # type: ignore[attr-defined]
    assert type(m.copy()) is Named
    assert m.copy() == {1: 2}


def test_threads_that_fill_one_map_lose_nothing() -> None:
    for round_ in range(20):
        m: HashMap[int, int] = HashMap()

        def work(thread: int, m: HashMap[int, int] = m, updates: bool = bool(round_ % 2)) -> None:
            own = {1000 * thread + i: i for i in range(300)}
            if updates:
                m.update(own)
            else:
                m.set_many(list(own), list(own.values()))
            assert all(m[key] == value for key, value in own.items())
            assert len(m) >= 300

        hammer(work, 4)
        assert len(m) == 1200
        m.check()


@pytest.mark.parametrize("cls", NATIVE)
def test_values_iterates_over_the_values(cls: type[Any]) -> None:
    m = cls(entries(500))
    assert sorted(m.values()) == list(range(500))
    assert 3 in m.values()
    assert len(m.values()) == 500


def test_a_map_that_was_cleared_has_room_for_what_it_gets() -> None:
    m: HashMap[int, int] = HashMap.fromkeys(range(10_000), 0)
    before = m.stats().buckets
    m.clear()
    for i in range(10_000):
        m[i] = i
    assert m.stats().buckets == before
    m.clear()
    for i in range(20):
        m[i] = i
    assert m.stats().buckets <= 128
    m.check()
