"""Nothing stays too long: references are released, values die, memory is freed.

A HashMap may release a removed str, bytes, float, big int or tuple key later than removed. That is the one
exception, so keys here are of other types, except where a test says otherwise.
"""

import gc
import sys
import sysconfig
import weakref
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.kit.hostile import HostileKey, HostileValue
from tests.kit.memory import MEGABYTE, resident
from tests.maps.conftest import MapMaker
from tests.maps.mixes import MAKERS, Becomes, Fails, Round
from threadproof import REMOVE, ConcurrentMap, HashMap, _core
from threadproof.stats import process

STRESS = hasattr(_core, "stress_fail_allocations")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

Map = ConcurrentMap[Any, Any]

LEAVE: dict[str, Callable[[Map, Any], object]] = {
    "del": lambda m, key: m.__delitem__(key),
    "pop": lambda m, key: m.pop(key),
    "popitem": lambda m, key: m.popitem(),
    "store": lambda m, key: m.__setitem__(key, 0),
    "swap": lambda m, key: m.swap(key, 0),
    "compare_and_swap": lambda m, key: m.compare_and_swap(key, 1.0, 0),
    "compare_and_delete": lambda m, key: m.compare_and_delete(key, 1.0),
    "compute": lambda m, key: m.compute(key, Becomes(0)),
    "compute to REMOVE": lambda m, key: m.compute(key, Becomes(REMOVE)),
    "compute_if_present": lambda m, key: m.compute_if_present(key, Becomes(0)),
    "merge": lambda m, key: m.merge(key, 0, Becomes(0)),
    "add": lambda m, key: m.add(key),
    "count_many": lambda m, key: m.count_many([key]),
    "set_many": lambda m, key: m.set_many([key], [0]),
    "update": lambda m, key: m.update({key: 0}),
    "delete_many": lambda m, key: m.delete_many([key]),
    "clear": lambda m, key: m.clear(),
    "drain": lambda m, key: m.drain(),
}
"""Ways for the value 1.0 of a key to leave the map."""


@pytest.mark.parametrize("way", LEAVE)
def test_a_value_dies_when_it_leaves_by(make_map: MapMaker, way: str) -> None:
    target, key = make_map(), HostileKey(1)
    target[key] = value = HostileValue(1)
    dead = weakref.ref(value)
    del value
    LEAVE[way](target, key)
    assert dead() is None


@pytest.mark.parametrize("way", LEAVE)
def test_a_value_dies_when_another_thread_makes_it_leave_by(make_map: MapMaker, way: str) -> None:
    target, key = make_map(), HostileKey(1)
    target[key] = value = HostileValue(1)
    dead = weakref.ref(value)
    del value
    hammer(lambda _: bool(LEAVE[way](target, key)), 1)
    assert dead() is None


def test_a_value_that_was_read_dies_with_the_last_of_map_and_reader(make_map: MapMaker) -> None:
    target = make_map({1: HostileValue(1)})
    read = target[1]
    dead = weakref.ref(read)
    del target[1]
    assert dead() is read
    del read
    assert dead() is None


def test_a_snapshot_keeps_its_values_until_it_is_dropped(make_map: MapMaker) -> None:
    target = make_map({1: HostileValue(1)})
    dead = weakref.ref(target[1])
    snapshot = target.snapshot()
    target.clear()
    assert snapshot[1] is dead() is not None
    del snapshot
    assert dead() is None


def test_an_abandoned_iterator_keeps_nothing(make_map: MapMaker) -> None:
    target = make_map({n: HostileValue(n) for n in range(100)})
    deaths = [weakref.ref(value) for value in target.values()]
    iterators = [iter(target), iter(target.items()), iter(target.values())]
    assert len([next(iterator) for iterator in iterators]) == 3
    target.clear()
    iterators.clear()
    assert [dead() for dead in deaths if dead() is not None] == []


def test_a_map_in_a_cycle_is_collected_with_its_values(make_map: MapMaker) -> None:
    target = make_map.type()
    target["itself"], target["value"] = target, HostileValue(1)
    deaths = [weakref.ref(target), weakref.ref(target["value"])]
    del target
    gc.collect()
    assert [dead() for dead in deaths] == [None, None]


def test_a_map_and_its_values_die_with_the_last_reference_in_one_thread(make_map: MapMaker) -> None:
    target = make_map.type({1: HostileValue(1)})
    deaths = [weakref.ref(target), weakref.ref(target[1])]
    del target
    assert [dead() for dead in deaths] == [None, None]


class SameObjects(Round):
    """Every call is about one key, one value and functions that all are the same objects."""

    def __init__(self, random: Random, key: Any, value: Any) -> None:
        super().__init__(random, lambda _: key, range(1), int, [value])
        self.same = value

    def value(self) -> Any:
        return self.same

    def maker(self) -> Callable[..., Any]:
        return self.random.choice((Becomes(self.same), Becomes(REMOVE), Fails()))

    def changer(self) -> Callable[..., Any]:
        return self.maker()


@pytest.mark.parametrize("operation", MAKERS)
@pytest.mark.parametrize(
    "key", [HostileKey(1), (1, 2), 10**30, 12345.5, "a key", b"a key"], ids=lambda key: type(key).__name__
)
def test_reference_counts_return(make_map: MapMaker, operation: str, key: Any, seed: int) -> None:
    value = HostileValue(1)
    before = sys.getrefcount(key), sys.getrefcount(value)
    target = make_map()
    round_ = SameObjects(Random(seed), key, value)
    for n in range(100):
        if n % 2:
            target[key] = value
        with suppress(KeyError):
            MAKERS[operation](round_).do(target)
    target.clear()
    del round_
    if sys.getrefcount(key) != before[0]:
        gc.collect()
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


def growth(step: Callable[[], object], times: int) -> int:
    """How many bytes the process grows by when a step is taken so many times, after as many to warm up."""
    for _ in range(times):
        step()
    gc.collect()
    before = resident()
    for _ in range(times):
        step()
    gc.collect()
    return resident() - before


def test_a_million_replacements_take_no_memory(make_map: MapMaker) -> None:
    target = make_map()

    def replace() -> None:
        for number in range(10_000):
            target["key"] = number
            target[12345] = number
            target[number % 7, "key"] = number

    assert growth(replace, 17) < 4 * MEGABYTE


def test_replacements_by_several_threads_take_no_memory(make_map: MapMaker) -> None:
    target = make_map()

    def replace(thread: int) -> None:
        for number in range(5_000):
            target[number % 5] = str(number)
            target.get(thread)

    assert growth(lambda: hammer(replace, 4), 5) < 8 * MEGABYTE


def test_growing_and_shrinking_a_hundred_times_takes_no_memory(make_map: MapMaker) -> None:
    target = make_map()
    keys = list(range(2_000))

    def breathe() -> None:
        target.set_many(keys, keys)
        target.delete_many(keys)

    assert growth(breathe, 50) < 4 * MEGABYTE
    assert len(target) == 0


def test_a_table_shrinks_after_mass_deletion() -> None:
    target = HashMap(zip(range(100_000), range(100_000), strict=True))
    full = target.stats().bytes
    target.delete_many(range(1_000, 100_000))
    for _ in range(200):
        target.set_many(range(1_000), range(1_000))  # writers finish the resizes that the deletion began
    assert target.stats().bytes < full / 4
    assert target.get_many(range(1_000)) == list(range(1_000))


def test_clear_gives_the_table_back(make_map: MapMaker) -> None:
    target = make_map()
    empty = bytes_of(target)
    target.update(dict.fromkeys(range(100_000)))
    assert bytes_of(target) > 100_000
    target.clear()
    assert bytes_of(target) == empty


def bytes_of(target: Map) -> Any:
    return target.stats().as_dict()["bytes"]


@pytest.mark.skipif(STRESS, reason="the stress build moves few buckets at a time: no resize is over")
def test_a_map_that_has_shrunk_takes_no_more_room_than_a_new_one() -> None:
    """One peak long ago does not count."""
    target, fresh = HashMap[int, int](), HashMap[int, int]()
    target.update((i, i) for i in range(12_000))
    target.delete_many(range(400, 12_000))
    for each in target, fresh:
        each.update((i, i) for i in range(2_700))
    assert target.stats().bytes < 1.5 * fresh.stats().bytes


@pytest.mark.skipif(not FREE_THREADED, reason="with a GIL no collection is followed")
def test_memory_that_is_kept_for_the_next_table_is_given_back() -> None:
    HashMap[int, int]().update((i, i) for i in range(5_000))
    for _ in range(2):
        gc.collect()
    assert process().kept_bytes == 0
