"""The contract of the map as a whole: iteration, views, snapshots, comparing, copying, classes, lifetimes."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import weakref
from collections import OrderedDict, UserDict
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest

from tests.maps.conftest import MAPS, MapMaker
from tests.maps.keys import Broken, Key, RaisingKey
from tests.maps.operations import REMOVALS, REPLACEMENTS, Map
from threadproof.maps import ConcurrentMap, SyncMap
from threadproof.stats import Stats

# Iteration


def test_iteration_sees_every_entry_once(make_map: MapMaker, make_key: Callable[[int], Key]) -> None:
    m = make_map((make_key(number), number) for number in range(100))
    assert sorted(key.number for key in m) == list(range(100))
    assert sorted(key.number for key in m.keys()) == list(range(100))  # noqa: SIM118  # the view is meant
    assert sorted(m.values()) == list(range(100))
    assert sorted((value, key.number) for key, value in m.items()) == [
        (number, number) for number in range(100)
    ]


@pytest.mark.parametrize("view", [iter, lambda m: iter(m.values()), lambda m: iter(m.items())])
def test_an_iterator_that_has_ended_has_ended_for_good(
    make_map: MapMaker, view: Callable[[Map], Any]
) -> None:
    m = make_map(a=1)
    entries = view(m)
    assert iter(entries) is entries
    assert len(list(entries)) == 1
    m["b"] = 2
    assert list(entries) == []


def test_what_stays_is_seen_once_though_the_loop_removes_and_adds(
    make_map: MapMaker, make_key: Callable[[int], Key]
) -> None:
    m = make_map((make_key(number), "stays" if number % 2 else "goes") for number in range(200))
    seen: list[int] = []
    for count, key in enumerate(m):
        seen.append(key.number)
        m.pop(make_key(key.number & ~1), None)
        if count < 50:
            m[make_key(1000 + count)] = "new"
    assert sorted(number for number in seen if number % 2 and number < 1000) == list(range(1, 200, 2))
    assert len(set(seen)) == len(seen)


def test_a_loop_may_empty_its_map(make_map: MapMaker) -> None:
    for empty in ("pop", "clear", "drain"):
        m = make_map.type.fromkeys(range(100))
        for key in m:
            if m:
                getattr(m, empty)(*[key][: empty == "pop"])
        assert len(m) == 0


def test_a_loop_may_replace_every_value(make_map: MapMaker) -> None:
    m = make_map((number, number) for number in range(100))
    for key, value in m.items():
        m[key] = value + 1000
    assert sorted(m.values()) == list(range(1000, 1100))


def test_loops_may_be_nested(make_map: MapMaker) -> None:
    m = make_map((number, number) for number in range(20))
    pairs = [(outer, inner) for outer in m for inner in m.values()]
    assert sorted(pairs) == [(outer, inner) for outer in range(20) for inner in range(20)]


# Views


def test_views_are_live(make_map: MapMaker) -> None:
    m = make_map()
    keys, values, items = m.keys(), m.values(), m.items()
    m["a"] = 1
    assert (list(keys), list(values), list(items)) == (["a"], [1], [("a", 1)])
    assert "a" in keys
    assert 1 in values
    assert ("a", 1) in items
    del m["a"]
    assert len(keys) == len(values) == len(items) == 0
    assert isinstance(keys, KeysView)
    assert isinstance(values, ValuesView)
    assert isinstance(items, ItemsView)


def test_keys_and_items_are_sets(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    keys, items = m.keys(), m.items()
    assert keys == {"a", "b"}
    assert keys & {"a", "z"} == {"a", "z"} & keys == {"a"}
    assert keys | {"c"} == {"c"} | keys == {"a", "b", "c"}
    assert keys - {"a"} == {"b"}
    assert {"a", "z"} - keys == {"z"}
    assert keys ^ {"a", "z"} == {"b", "z"}
    assert {"a"} < keys <= {"a", "b"}
    assert keys.isdisjoint({"z"})
    assert keys == make_map(a=3, b=4).keys()
    assert items == {("a", 1), ("b", 2)}
    assert items & {("a", 1), ("b", 3)} == {("a", 1)}
    assert items - make_map(a=1).items() == {("b", 2)}


def test_membership_in_views_is_by_identity_and_then_by_equality(make_map: MapMaker) -> None:
    nan = math.nan
    m = make_map(nan=nan, one=1)
    assert nan in m.values()
    assert float("nan") not in m.values()
    assert ("nan", nan) in m.items()
    assert ("nan", float("nan")) not in m.items()
    assert True in m.values()
    assert ("none", None) not in m.items()


# Snapshots


def test_a_snapshot_never_changes(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    snapshot = m.snapshot()
    m["a"], m["c"] = 10, 3
    del m["b"]
    assert snapshot == {"a": 1, "b": 2}
    m.clear()
    assert snapshot == {"a": 1, "b": 2}
    assert isinstance(snapshot, Mapping)
    assert not isinstance(snapshot, MutableMapping)
    with pytest.raises(TypeError):
        snapshot["a"] = 2  # type: ignore[index]  # pyright: ignore[reportIndexIssue]  # that is the claim


def test_snapshots_are_independent(make_map: MapMaker) -> None:
    m = make_map()
    snapshots = []
    for number in range(20):
        m[number] = number
        m[0] = number
        snapshots.append(m.snapshot())
    for number, snapshot in enumerate(snapshots):
        assert len(snapshot) == number + 1
        assert snapshot[0] == number


def test_a_snapshot_outlives_its_map(make_map: MapMaker) -> None:
    snapshot = make_map.type(a=1).snapshot()
    gc.collect()
    assert snapshot == {"a": 1}


def test_clear_and_drain_leave_an_empty_map_that_works(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    drained = m.drain()
    assert type(drained) is dict
    assert drained == {"a": 1, "b": 2}
    assert m.drain() == {}
    m["c"] = 3
    m.clear()
    m.clear()
    assert len(m) == 0
    m["d"] = 4
    assert m == {"d": 4}


def test_len_counts_keys_and_an_empty_map_is_false(make_map: MapMaker) -> None:
    m = make_map()
    assert not m
    for number in range(300):
        m[number] = m[str(number)] = number
        assert len(m) == 2 * number + 2
    assert m
    for number in range(300):
        m.pop(number)
        assert len(m) == 600 - number - 1


# Comparing and showing


def test_maps_are_equal_to_mappings_with_equal_entries(make_map: MapMaker) -> None:
    m = make_map(a=1, b=[2])
    equals: list[Any] = [
        {"b": [2], "a": 1.0},
        OrderedDict(b=[2], a=1),
        UserDict(a=1, b=[2]),
        m.copy(),
        m.snapshot(),
        m,
    ]
    for other in equals:
        assert m == other
        assert other == m
        assert not m != other  # noqa: SIM202  # both operators are meant
    for other in ({"a": 1}, {"a": 1, "b": [3]}, {"a": 1, "c": [2]}, make_map(), [("a", 1)], None, 3):
        assert m != other
        assert not other == m  # noqa: SIM201  # both operators are meant
    assert make_map(nan=math.nan) == {"nan": math.nan}


def test_a_comparison_inside_comparing_may_write_to_the_maps(make_map: MapMaker) -> None:
    class Writing:
        def __eq__(self, other: object) -> bool:
            m["written"] = 1
            return True

    m = make_map(k=Writing())
    assert m == {"k": 1}
    assert len(m) == 2


def test_a_map_has_no_hash(make_map: MapMaker) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(make_map())


def test_repr_shows_the_class_and_the_entries(make_map: MapMaker) -> None:
    m, name = make_map(), make_map.type.__name__
    assert repr(m) == f"{name}({{}})"
    m["a"] = "x"
    assert repr(m) == str(m) == f"{name}({{'a': 'x'}})"


def test_repr_of_a_map_inside_itself_ends(make_map: MapMaker) -> None:
    m, name = make_map(), make_map.type.__name__
    m["self"] = m
    assert repr(m) == f"{name}({{'self': {{...}}}})"
    m["self"] = [make_map(map=m)]
    assert repr(m) == f"{name}({{'self': [{name}({{'map': {{...}}}})]}})"
    m.clear()


def test_repr_raises_what_an_entry_raises(make_map: MapMaker) -> None:
    class Unshown:
        def __repr__(self) -> str:
            raise Broken("repr")

    m = make_map(k=Unshown())
    for _ in range(2):
        with pytest.raises(Broken, match="repr"):
            repr(m)
    m["k"] = 1
    assert repr(m).endswith("({'k': 1})")


# Copying


class Thing:
    """A value that can be watched by a weak reference, and be pickled."""


def make_again(m: Map) -> list[Map]:
    pickled = [pickle.loads(pickle.dumps(m, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [copy.copy(m), copy.deepcopy(m), m.copy(), type(m)(m), type(m)(m.items()), *pickled]


def test_copies_are_equal_and_independent(make_map: MapMaker) -> None:
    m = make_map({"a": 1, None: (2,), 3: None})
    for new in make_again(m):
        assert type(new) is make_map.type
        assert new == m
        new["a"] = "new"
        assert m["a"] == 1


def test_a_copy_shares_its_values_and_a_deep_one_does_not(make_map: MapMaker) -> None:
    m = make_map(k=[1])
    assert m.copy()["k"] is copy.copy(m)["k"] is m["k"]
    assert copy.deepcopy(m)["k"] is not m["k"]


def test_a_map_inside_itself_is_copied_as_such(make_map: MapMaker) -> None:
    m = make_map()
    m["self"] = [m]
    for new in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert new is not m
        assert new["self"][0] is new
        new.clear()
    assert m.copy()["self"][0] is m
    m.clear()


def test_fromkeys_gives_all_keys_one_value(make_map: MapMaker) -> None:
    assert make_map.type.fromkeys("ab") == {"a": None, "b": None}
    value: list[int] = []
    m = make_map.type.fromkeys(iter("ab"), value)
    assert type(m) is make_map.type
    assert m["a"] is m["b"] is value


# Classes


def test_it_is_a_mapping_everywhere_python_asks(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    assert isinstance(m, MutableMapping)
    assert isinstance(m, ConcurrentMap)
    assert dict(m) == dict(**m) == {**m} == {"a": 1, "b": 2}
    match m:
        case {"a": one, **rest}:
            assert (one, rest) == (1, {"b": 2})
        case _:
            pytest.fail("no match")
    with pytest.raises(TypeError, match="ConcurrentMap"):
        ConcurrentMap()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]  # that is the claim


def test_the_class_takes_type_arguments(make_map: MapMaker) -> None:
    of_str_and_int: Any = cast(Any, make_map.type)[str, int]
    assert of_str_and_int.__args__ == (str, int)
    assert type(of_str_and_int(a=1)) is make_map.type


def test_new_alone_makes_an_empty_map_and_init_only_adds(make_map: MapMaker) -> None:
    m = make_map.type.__new__(make_map.type)
    assert m == {}
    m["a"] = 1
    m.__init__({"b": 2})  # type: ignore[misc]
    assert m == {"a": 1, "b": 2}


def test_a_map_can_be_referred_to_weakly(make_map: MapMaker) -> None:
    died: list[str] = []
    m = make_map.type(a=1)
    reference = weakref.ref(m, lambda reference: died.append("died"))
    assert reference() is m
    del m
    gc.collect()
    assert reference() is None
    assert died == ["died"]


class Named:
    """The additions of the subclasses below: an attribute and a constructor."""

    label: str

    def __init__(self, label: str) -> None:
        self.label = label


# One subclass of every map; they are in the module, where pickle finds them.
SUBCLASSES: dict[type, type[Any]] = {}
for each in MAPS:
    SUBCLASSES[each] = type(f"Named{each.__name__}", (Named, each), {"__module__": __name__})
    globals()[SUBCLASSES[each].__name__] = SUBCLASSES[each]


def test_a_subclass_keeps_its_class_and_attributes_in_every_copy(make_map: MapMaker) -> None:
    m = SUBCLASSES[make_map.type]("the label")
    m["k"] = [1]
    copies = [m.copy(), copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m)), m | {}]
    for new in copies:
        assert type(new) is type(m)
        assert new.label == "the label"
        assert new == m
    assert type({} | m) is type(m)
    assert repr(m) == f"Named{make_map.type.__name__}({{'k': [1]}})"


def test_a_subclass_may_override_and_call_its_base(make_map: MapMaker) -> None:
    base: Any = make_map.type

    class Upper(base):  # type: ignore[misc]
        def __setitem__(self, key: str, value: object) -> None:
            super().__setitem__(key.upper(), value)

        def __missing__(self, key: str) -> str:
            return "as in a dict, but only there"

    m = Upper()
    m["a"] = 1
    assert m == {"A": 1}
    assert m.get("a") is None
    assert isinstance(m, make_map.type)


# Lifetimes


def test_a_removed_value_dies_at_once(make_map: MapMaker) -> None:
    for remove in REMOVALS.values():
        m = make_map(k=Thing())
        reference = weakref.ref(m["k"])
        assert remove(m, "k", m["k"])
        assert reference() is None


def test_a_replaced_value_dies_at_once(make_map: MapMaker) -> None:
    for replace in REPLACEMENTS.values():
        m = make_map(k=Thing())
        reference = weakref.ref(m["k"])
        assert replace(m, "k", m["k"], "new")
        assert reference() is None


@pytest.mark.parametrize("leave", [lambda m: m.clear(), lambda m: m.drain(), lambda m: m.popitem()])
def test_keys_and_values_die_when_they_all_leave(make_map: MapMaker, leave: Callable[[Map], Any]) -> None:
    m = make_map({Key(1): Thing()})
    references = [weakref.ref(each) for entry in m.items() for each in entry]
    leave(m)
    if isinstance(m, SyncMap):
        m.clear()  # it may keep a removed key, which could come back, but no value
    assert [reference() for reference in references] == [None, None]


def test_keys_and_values_die_with_their_map(make_map: MapMaker) -> None:
    m = make_map.type({Key(1): Thing()})
    references = [weakref.ref(each) for entry in m.items() for each in entry]
    del m
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_what_was_not_stored_is_not_kept(make_map: MapMaker) -> None:
    m, key, thing = make_map({Key(1): 1}), Key(1), Thing()
    unusable = RaisingKey(2)
    unusable.raises = "hash"
    m[key] = 2
    m.setdefault(key, thing)
    m.compare_and_swap(key, thing, thing)
    m.merge(key, thing, lambda old, new: old)
    m.get(Key(3), thing)
    with pytest.raises(Broken):
        m[unusable] = thing
    references: list[weakref.ref[Any]] = [weakref.ref(key), weakref.ref(thing)]
    del key, thing
    assert [reference() for reference in references] == [None, None]


def test_an_abandoned_iteration_keeps_nothing(make_map: MapMaker) -> None:
    m = make_map((number, Thing()) for number in range(10))
    iterators: list[Iterator[Any]] = [iter(m), iter(m.values()), iter(m.items())]
    references = [weakref.ref(value) for value in m.values()]
    assert len([next(iterator) for iterator in iterators]) == 3
    m.clear()
    del iterators
    assert {reference() for reference in references} == {None}


@pytest.mark.parametrize(
    "tie",
    [
        lambda m: m.update(k=m),
        lambda m: m.update(k=[m]),
        lambda m: m.update({Tied(m): 1}),
        lambda m: m.update(k=m.items()),
        lambda m: m.update(k=m.keys()),
        lambda m: m.update(a=1) or m.update(k=iter(m)),
        lambda m: m.update(k=type(m)(m=m)),
        lambda m: m.update(k=lambda: m),
    ],
    ids=["value", "list", "key", "items", "keys", "iterator", "another map", "function"],
)
def test_cycles_through_a_map_are_collected(make_map: MapMaker, tie: Callable[[Map], Any]) -> None:
    m = make_map.type(thing=Thing())
    tie(m)
    references = [weakref.ref(m), weakref.ref(m["thing"])]
    del m
    gc.collect()
    assert [reference() for reference in references] == [None, None]


class Tied(Key):
    """A key that refers to a map."""

    def __init__(self, m: Map) -> None:
        super().__init__(1)
        self.m = m


def test_a_finalizer_may_use_the_map(make_map: MapMaker) -> None:
    class Last:
        def __del__(self) -> None:
            m.add("finalized")

    m = make_map()
    for _ in range(3):
        m["k"] = Last()
        m["k"] = Last()
        m.pop("k")
        m["k"] = Last()
        m.compare_and_delete("k", m["k"])
    assert m == {"finalized": 9}
    m["k"] = Last()
    m.clear()
    assert m == {"finalized": 1}


# Stats


def test_stats_are_a_frozen_record_that_json_can_show(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    stats = m.stats()
    assert isinstance(stats, Stats)
    assert json.loads(json.dumps(stats.as_dict()))["size"] == 2
    with pytest.raises(FrozenInstanceError):
        stats.size = 3  # type: ignore[attr-defined]  # pyright: ignore  # that is the claim
    m.clear()
    assert stats.as_dict()["size"] == 2
    assert m.stats().as_dict()["size"] == 0
