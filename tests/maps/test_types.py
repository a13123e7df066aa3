"""The types that mypy and pyright see, by assert_type(): `make lint` checks them; here the programs run."""

from __future__ import annotations

from typing import Any, assert_type

from threadproof import REMOVE, HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.maps import FrozenDict


def test_constructors_have_the_types_that_dicts_have() -> None:
    assert_type(HashMap(a=1), HashMap[str, int])
    assert_type(SnapshotMap(users=10), SnapshotMap[str, int])
    assert_type(ShardedMap({1: "a"}), ShardedMap[int, str])
    assert_type(LockedMap({"x": 1.5}, y=2.5), LockedMap[str, float])
    assert_type(SyncMap.fromkeys(["a"], 1), SyncMap[str, int])
    assert_type(HashMap.fromkeys(["a"]), HashMap[str, Any])


def test_unions_have_the_types_of_both() -> None:
    m = HashMap({"a": 1})
    assert_type(m | {"b": 2}, HashMap[str, int])
    assert_type(m | {"b": "x"}, HashMap[str, int | str])
    assert_type({"b": "x"} | m, HashMap[str, int | str])


def length(key: str) -> int:
    return len(key)


def one_more(old: int | None) -> int:
    return (old or 0) + 1


def total(old: int, new: int) -> int:
    return old + new


def test_what_is_computed_is_none_only_if_the_function_can_remove_the_key() -> None:
    m: HashMap[str, int] = HashMap()
    assert_type(m.compute_if_absent("k", length), int)
    assert_type(m.compute("k", one_more), int)
    assert_type(m.merge("k", 1, total), int)
    assert_type(m.compute_if_absent("k", lambda key: REMOVE if key else 1), int | None)
    assert_type(m.compute("k", lambda old: REMOVE if old is None else old), int | None)
    lists: HashMap[str, list[int]] = HashMap()
    lists.compute_if_absent("k", lambda key: []).append(1)
    assert lists.to_dict() == {"k": [1]}


def test_snapshots_and_dicts() -> None:
    m: HashMap[str, int] = HashMap(a=1)
    assert_type(m.snapshot(), FrozenDict[str, int])
    assert_type(m.to_dict(), dict[str, int])
