"""Everyday edges of the maps: what a program that has used dict and a lock tries first."""

from __future__ import annotations

import asyncio
import copy
import functools
import json
import pickle
import sys
import threading
from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.computations import computing
from tests.maps.conftest import MapMaker
from tests.maps.operations import Map
from threadproof import REMOVE
from threadproof.maps import Snapshot


async def load(key: Any) -> int:
    return 1


class Loader:
    async def __call__(self, key: Any) -> int:
        return 1

    async def load(self, key: Any) -> int:
        return 1


ASYNC: dict[str, Callable[[Any], Any]] = {
    "a function": load,
    "a method": Loader().load,
    "an object": Loader(),
    "a partial": functools.partial(load),
    "a partial of a partial": functools.partial(functools.partial(load)),
    "a lambda that calls one": lambda old: load(old),
}


@pytest.mark.parametrize("fn", ASYNC.values(), ids=ASYNC)
def test_functions_that_give_coroutines_are_refused(make_map: MapMaker, fn: Any) -> None:
    m = make_map(k=1)
    attempts: list[Callable[[], object]] = [
        lambda: m.compute_if_absent("new", fn),
        lambda: m.compute("k", fn),
        lambda: m.compute_if_present("k", fn),
        lambda: m.merge("k", 1, lambda old, new: fn(old)),
    ]
    for refused in attempts:
        with pytest.raises(TypeError, match=r"coroutine.*task"):
            refused()
    assert m == {"k": 1}


def test_a_task_can_be_stored(make_map: MapMaker) -> None:
    m = make_map()

    async def use() -> list[int]:
        tasks = [m.compute_if_absent("k", lambda key: asyncio.ensure_future(load(key))) for _ in range(3)]
        return [await task for task in tasks]

    assert asyncio.run(use()) == [1, 1, 1]


@pytest.mark.parametrize(("fn", "empty"), [(list, r"\[\]"), (dict, "{}"), (set, r"set\(\)")])
def test_a_container_type_as_the_function_is_refused(make_map: MapMaker, fn: Any, empty: str) -> None:
    m = make_map()
    with pytest.raises(TypeError, match=f"pass lambda key: {empty}"):
        m.compute_if_absent("ab", fn)
    assert m.compute_if_absent("ab", str.upper) == "AB"
    assert m.compute_if_absent("12", int) == 12


@pytest.mark.parametrize("other", [list, dict, 5, None, lambda: 1])
def test_an_argument_that_has_no_entries_is_named(make_map: MapMaker, other: Any) -> None:
    with pytest.raises(TypeError, match="wants a mapping, or pairs"):
        make_map(other)
    with pytest.raises(TypeError, match="wants a mapping, or pairs"):
        make_map().update(other)


def test_a_function_by_name_is_refused_as_positional(make_map: MapMaker) -> None:
    with pytest.raises(TypeError, match=r"position.*only"):
        make_map().compute("k", fn=lambda old: 1)  # type: ignore[call-overload]


STORES_REMOVE: dict[str, Callable[[Map], object]] = {
    "[]": lambda m: m.__setitem__("k", REMOVE),
    "new": lambda m: m.__setitem__("new", REMOVE),
    "swap": lambda m: m.swap("k", REMOVE),
    "setdefault": lambda m: m.setdefault("new", REMOVE),
    "update": lambda m: m.update(k=REMOVE),
    "set_many": lambda m: m.set_many(["k"], [REMOVE]),
    "compare_and_swap": lambda m: m.compare_and_swap("k", 1, REMOVE),
}


@pytest.mark.parametrize("operation", STORES_REMOVE)
def test_remove_is_no_value(make_map: MapMaker, operation: str) -> None:
    m = make_map(k=1)
    with pytest.raises(ValueError, match=r"REMOVE cannot be stored.*del or pop"):
        STORES_REMOVE[operation](m)
    assert m == {"k": 1}


def test_what_plus_raises_names_the_map_and_the_key(make_map: MapMaker) -> None:
    m = make_map(k="text")
    with pytest.raises(TypeError) as raised:
        m.add("k", 1)
    assert raised.value.__notes__ == [f"in {type(m).__name__}.add() at key 'k'"]
    assert m == {"k": "text"}


def test_snapshots_can_be_copied_pickled_and_written(make_map: MapMaker) -> None:
    m = make_map({"a": [1], "b": [2]})
    ways: list[Callable[[Any], Any]] = [
        copy.copy,
        copy.deepcopy,
        lambda each: pickle.loads(pickle.dumps(each)),
    ]
    for same in ways:
        assert same(m.snapshot()) == m
    assert json.loads(json.dumps(m.to_dict())) == {"a": [1], "b": [2]}
    assert type(m.to_dict()) is dict
    assert isinstance(m.snapshot(), dict | Snapshot)


def test_a_snapshot_is_of_one_instant_and_the_callers_own(make_map: MapMaker) -> None:
    m = make_map(a=1)
    before, as_dict = m.snapshot(), m.to_dict()
    m["b"] = 2
    as_dict["c"] = 3
    assert before == {"a": 1}
    assert m == {"a": 1, "b": 2}


def test_the_memory_of_a_map_is_what_getsizeof_says(make_map: MapMaker) -> None:
    m = make_map()
    empty = sys.getsizeof(m)
    m.update(dict.fromkeys(range(10_000)))
    assert sys.getsizeof(m) >= m.stats().bytes  # type: ignore[attr-defined]  # of every map here
    assert sys.getsizeof(m) > empty + 10_000 * 8


def test_the_computations_that_are_running_can_be_listed(make_map: MapMaker) -> None:
    m = make_map(k=0)
    assert m.computations() == []
    with computing(m, "k", 1), computing(m, "other", 2):
        running = m.computations()
        stats: Any = m.stats()
        assert [each.key for each in running] == ["other", "k"]
        assert len({each.thread for each in running} - {threading.get_ident()}) == 2
        assert {each.thread for each in running} <= {each.ident for each in threading.enumerate()}
        assert stats.computing == 2
        assert stats.oldest_computation >= running[-1].seconds >= running[0].seconds >= 0
    assert m.computations() == []
    assert m.stats().computing == 0  # type: ignore[attr-defined]


class User:
    """Equal by name: keys that can be told apart all the same."""

    def __init__(self, name: str, session: int) -> None:
        self.name = name
        self.session = session

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and self.name == other.name


PAIRS: dict[str, tuple[Any, Any]] = {
    "own class": (User("ann", 1), User("ann", 2)),
    "int and bool": (1, True),
    "zeros": (0.0, -0.0),
    "int and float": (2, 2.0),
    "tuples": ((1, "a"), (True, "a")),
    "tuples of users": ((User("ann", 1),), (User("ann", 2),)),
}


@pytest.mark.parametrize("settle", [0, 2, 20])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_key_that_comes_back_is_the_object_stored_last(make_map: MapMaker, pair: str, settle: int) -> None:
    old, new = PAIRS[pair]
    stores: list[Callable[[Map], object]] = [
        lambda m: m.__setitem__(new, 2),
        lambda m: m.setdefault(new, 2),
        lambda m: m.compute(new, lambda old: 2),
        lambda m: m.add(new, 2),
        lambda m: m.add(new, 0.5),
    ]
    for store in stores:
        m = make_map({old: 1, "other": 1})
        for _ in range(settle):  # a SyncMap promotes its keys
            m.get(old)
            m.get("missing")
        del m[old]
        store(m)
        (key,) = (each for each in m if each != "other")
        assert key is new or (type(key) is type(new) and repr(key) == repr(new))
        assert len(m) == 2


class Collides:
    """Keys of one hash; counts the comparisons."""

    compared = 0

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        Collides.compared += 1
        return self is other


def test_keys_of_one_hash_are_compared_once_for_each_pair(make_map: MapMaker) -> None:
    m = make_map()
    Collides.compared = 0
    for _ in range(100):
        m[Collides()] = 1
    assert Collides.compared <= 100 * 99 // 2 + 100


ITERATORS: dict[str, Callable[[Any], Any]] = {
    "iter": iter,
    "keys": lambda m: iter(m.keys()),
    "values": lambda m: iter(m.values()),
    "items": lambda m: iter(m.items()),
}


def take_all(iterator: Any, index: int) -> list[Any]:
    return list(iterator)


@pytest.mark.parametrize("of", ["map", "snapshot"])
@pytest.mark.parametrize("iterator", ITERATORS)
def test_threads_may_share_an_iterator(make_map: MapMaker, iterator: str, of: str) -> None:
    m = make_map({i: i for i in range(2000)})
    for _ in range(20):
        shared = ITERATORS[iterator](m if of == "map" else Snapshot(m))
        got = hammer(functools.partial(take_all, shared), 3)
        seen = [each[0] if iterator == "items" else each for one in got for each in one]
        assert sorted(seen) == list(range(2000))


def test_a_values_destructor_may_use_the_iterator_that_drops_it(make_map: MapMaker) -> None:
    iterators: list[Any] = []

    class Value:
        def __del__(self) -> None:
            for each in iterators:
                next(each, None)

    m = make_map({i: Value() for i in range(100)})
    iterators.append(iter(m.items()))

    def replace(index: int) -> None:
        if index:
            for key in range(100):
                m[key] = Value()
        else:
            for _ in iterators[0]:
                pass

    hammer(replace, 2)
    iterators.clear()


@pytest.mark.parametrize("keys", ["ab", ["a", "b"]])
def test_fromkeys_is_item_by_item_where_a_class_has_methods_of_its_own(make_map: MapMaker, keys: Any) -> None:
    class Wrapping(make_map.type):  # type: ignore[name-defined, misc]
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, [value])

    class Another(make_map.type):  # type: ignore[name-defined, misc]
        def __new__(cls) -> Any:
            return UserDict()

    assert dict(Wrapping.fromkeys(keys, 1)) == {"a": [1], "b": [1]}
    assert Another.fromkeys(keys, 1) == UserDict(a=1, b=1)
