"""The contract, with many threads: every operation on shared and on own keys, with good and with bad hashes.

These tests count results that every schedule must have; test_linearizable.py checks whole histories.
"""

from __future__ import annotations

import gc
import pickle
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.conftest import MapMaker
from tests.maps.keys import Key
from tests.maps.operations import ABSENT, REMOVALS, REPLACEMENTS, STORES, Map
from threadproof import REMOVE

THREADS = 4
FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()

Keys = Callable[[int], Key]


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """With a GIL, threads take turns every few byte codes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def winners(work: Callable[[int, int], bool], keys: Iterable[int]) -> dict[int, list[int]]:
    """For each key, the threads for which `work(thread, key)` is true, when each thread does all keys."""
    numbers = list(keys)
    results = hammer(lambda thread: [work(thread, number) for number in numbers], THREADS)
    return {
        key: [thread for thread in range(THREADS) if results[thread][place]]
        for place, key in enumerate(numbers)
    }


def lone(threads: list[int]) -> int:
    assert len(threads) == 1, f"winners: {threads}"
    return threads[0]


# Shared keys: of all threads that try, one wins


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_one_thread_stores_the_first_value(
    make_map: MapMaker, make_key: Keys, store: Callable[[Map, Any, Any], bool]
) -> None:
    m, values = make_map(), [object() for _ in range(THREADS)]
    won = winners(lambda thread, number: store(m, make_key(number), values[thread]), range(64))
    first = {make_key(number): values[lone(threads)] for number, threads in won.items()}
    assert len(m) == 64
    if store is not STORES["swap"]:  # a later swap replaces the first value
        assert m == first


@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_one_thread_replaces_a_value(
    make_map: MapMaker, make_key: Keys, replace: Callable[[Map, Any, Any, Any], bool]
) -> None:
    old, values = object(), [object() for _ in range(THREADS)]
    m = make_map((make_key(number), old) for number in range(64))
    won = winners(lambda thread, number: replace(m, make_key(number), old, values[thread]), range(64))
    replaced = {make_key(number): values[lone(threads)] for number, threads in won.items()}
    assert len(m) == 64
    if replace is not REPLACEMENTS["swap"]:
        assert m == replaced


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_one_thread_removes_a_key(
    make_map: MapMaker, make_key: Keys, remove: Callable[[Map, Any, Any], bool]
) -> None:
    value = object()
    m = make_map((make_key(number), value) for number in range(64))
    won = winners(lambda thread, number: remove(m, make_key(number), value), range(64))
    assert all(lone(threads) in range(THREADS) for threads in won.values())
    assert m == {}


def test_one_thread_calls_the_function_of_compute_if_absent(make_map: MapMaker, make_key: Keys) -> None:
    m, calls = make_map(), []

    def make(key: Key) -> object:
        calls.append(key.number)
        return object()

    got = hammer(
        lambda thread: [m.compute_if_absent(make_key(number), make) for number in range(100)], THREADS
    )
    assert sorted(calls) == list(range(100))
    assert all(values == got[0] for values in got)


def test_every_entry_is_taken_by_one_popitem(make_map: MapMaker, make_key: Keys) -> None:
    m = make_map((make_key(number), number) for number in range(400))
    taken = hammer(lambda thread: [m.popitem() for _ in range(100)], THREADS)
    assert sorted(value for each in taken for _, value in each) == list(range(400))
    assert all(key.number == value for each in taken for key, value in each)
    assert len(m) == 0


# Shared keys: nothing is lost, nothing is returned twice


@pytest.mark.parametrize("take", ["swap", "pop", "compute", "merge", "drain"])
def test_every_value_put_is_taken_once(make_map: MapMaker, make_key: Keys, take: str) -> None:
    m, key = make_map(), make_key(0)
    others = [make_key(number) for number in range(1, 20)]
    m.set_many(others, [None] * len(others))

    def put(value: int) -> list[Any]:
        """Store the value, and return the value that it replaced, or itself if it was not stored."""
        if take == "swap":
            return [m.swap(key, value, ABSENT)]
        replaced: list[Any] = []

        def replace(old: Any, new: int = value) -> int:
            replaced.append(old)
            return new

        if take == "compute":
            m.compute(key, replace, ABSENT)
        elif take == "merge":
            m.merge(key, value, replace)
        elif m.setdefault(key, value) is not value:
            replaced = [value, m.pop(key, ABSENT) if take == "pop" else m.drain().get(key, ABSENT)]
        return replaced

    def work(thread: int) -> list[Any]:
        return [value for count in range(200) for value in put(1000 * (thread + 1) + count)]

    taken = Counter(value for each in hammer(work, THREADS) for value in each if value is not ABSENT)
    taken[m.pop(key, ABSENT)] += 1
    taken.pop(ABSENT, None)
    assert taken == Counter(1000 * (thread + 1) + count for thread in range(THREADS) for count in range(200))


def test_a_chain_of_compare_and_swap_has_no_gap(make_map: MapMaker, make_key: Keys) -> None:
    m, key = make_map(), make_key(0)
    m[key] = 0

    def work(thread: int) -> list[int]:
        done: list[int] = []
        while (number := m[key]) < 300:
            if m.compare_and_swap(key, number, number + 1):
                done.append(number)
        return done

    assert sorted(number for each in hammer(work, THREADS) for number in each) == list(range(300))


INCREMENTS: dict[str, Callable[[Map, Any], object]] = {
    "add": lambda m, key: m.add(key, 3),
    "count_many": lambda m, key: m.count_many([key, key, key]),
    "compute": lambda m, key: m.compute(key, lambda old: old + 3, 0),
    "merge": lambda m, key: m.merge(key, 3, lambda old, new: old + new),
    "compute_if_present": lambda m, key: m.compute_if_present(key, lambda old: old + 3),
    "compare_and_swap": lambda m, key: compare_and_add(m, key, 3),
}


def compare_and_add(m: Map, key: Any, delta: int) -> None:
    while not m.compare_and_swap(key, old := m[key], old + delta):
        pass


@pytest.mark.parametrize(
    "start", [0, 0.5, 2**60 - 50, -(2**63) - 50], ids=["small", "float", "big", "bigger"]
)
def test_no_increment_is_lost_however_it_is_made(make_map: MapMaker, make_key: Keys, start: float) -> None:
    keys = [make_key(number) for number in range(3)]
    m = make_map.type.fromkeys(keys, start)

    def work(thread: int) -> None:
        for count in range(50):
            for increment in INCREMENTS.values():
                increment(m, keys[count % 3])

    hammer(work, THREADS)
    assert sum(m.values()) == 3 * start + 3 * 50 * len(INCREMENTS) * THREADS


def test_bulk_operations_of_many_threads_add_up(make_map: MapMaker, make_key: Keys) -> None:
    m, keys = make_map(), [make_key(number) for number in range(100)]
    hammer(lambda thread: m.count_many(keys), THREADS)
    assert m.get_many(keys) == [THREADS] * 100
    assert sum(hammer(lambda thread: m.delete_many(keys), THREADS)) == 100
    hammer(lambda thread: m.set_many(keys, [thread] * 100), THREADS)
    assert set(m.get_many(keys)) <= set(range(THREADS))
    assert len(m) == 100


# Unshared keys: each thread sees its own as if it were alone


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_what_a_thread_does_to_its_own_keys_it_sees_at_once(
    make_map: MapMaker,
    make_key: Keys,
    store: Callable[[Map, Any, Any], bool],
    remove: Callable[[Map, Any, Any], bool],
) -> None:
    m = make_map()

    def work(thread: int) -> None:
        keys = [make_key(number) for number in range(thread, 100, THREADS)]
        for _ in range(2):
            for key in keys:
                assert key not in m
                assert store(m, key, value := object())
                assert m[key] is value
            for key in keys:
                assert remove(m, key, m[key])
                assert key not in m
        m.set_many(keys, keys)

    hammer(work, THREADS)
    assert m == {make_key(number): make_key(number) for number in range(100)}


def test_random_operations_on_own_keys_have_the_same_effect_as_on_a_dict(
    make_map: MapMaker, make_key: Keys, seed: int
) -> None:
    m = make_map()
    dicts: list[dict[Key, int]] = [{} for _ in range(THREADS)]

    def work(thread: int) -> None:
        chance, model = random.Random(seed + thread), dicts[thread]
        for _ in range(1500):
            key = make_key(thread + THREADS * chance.randrange(40))
            value = chance.randrange(5)
            both = chance.choice(ON_BOTH)
            assert both(m, model, key, value), f"{both.__name__} of {key}, {value}"

    hammer(work, THREADS)
    assert m == {key: value for model in dicts for key, value in model.items()}
    assert len(m) == sum(map(len, dicts))


def _read(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    return bool(m.get(key) == model.get(key) and (key in m) == (key in model))


def _store(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    before, model[key] = model.get(key), value
    return bool(m.swap(key, value) == before)


def _pop(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    return bool(m.pop(key, None) == model.pop(key, None))


def _setdefault(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    return bool(m.setdefault(key, value) == model.setdefault(key, value))


def _compare_and_swap(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    expected = model.get(key) == value
    if expected:
        model[key] = value + 1
    return m.compare_and_swap(key, value, value + 1) == expected


def _compare_and_delete(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    expected = model.get(key) == value
    if expected:
        del model[key]
    return m.compare_and_delete(key, value) == expected


def _add(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    model[key] = model.get(key, 0) + value
    return bool(m.add(key, value) == model[key])


def _compute(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    if model.get(key, 0) >= 3:
        return m.compute(key, lambda old: REMOVE, 0) == 0 and model.pop(key) >= 3
    model[key] = model.get(key, 0) + value
    return bool(m.compute(key, lambda old: old + value, 0) == model[key])


def _bulk(m: Map, model: dict[Key, int], key: Key, value: int) -> bool:
    m.set_many([key], [value])
    model[key] = value
    return m.get_many([key]) == [value]


ON_BOTH = [_read, _store, _pop, _setdefault, _compare_and_swap, _compare_and_delete, _add, _compute, _bulk]


# The whole map, while it changes


def with_writers(write: Callable[[int, int], None], observe: Callable[[], None], rounds: int = 300) -> None:
    """Read repeatedly, from the start of the writers until each has written `rounds` times."""
    writing = [True] * (THREADS - 1)

    def work(thread: int) -> None:
        if thread == THREADS - 1:
            while any(writing):
                observe()
            observe()
            return
        try:
            for count in range(rounds):
                write(thread, count)
        finally:
            writing[thread] = False

    hammer(work, THREADS)


def test_keys_that_stay_are_always_found_while_others_come_and_go(make_map: MapMaker, make_key: Keys) -> None:
    stay = [make_key(number) for number in range(40)]
    m = make_map((key, key.number) for key in stay)

    def grow_and_shrink(thread: int, count: int) -> None:
        batch = [make_key(100 + 1000 * thread + number) for number in range(count % 60)]
        m.set_many(batch, batch)
        assert m.delete_many(batch) == len(batch)

    def observe() -> None:
        assert m.get_many(stay) == list(range(40))
        assert all(key in m for key in stay)

    with_writers(grow_and_shrink, observe, rounds=100)
    assert len(m) == 40


def test_iteration_sees_what_stays_once_and_nothing_twice(make_map: MapMaker, make_key: Keys) -> None:
    m = make_map((make_key(number), 0) for number in range(40))

    def change(thread: int, count: int) -> None:
        number = 100 * (thread + 1) + count % 50
        if m.pop(make_key(number), None) is None:
            m[make_key(number)] = number
        m[make_key(count % 40)] = 40 * count

    def observe() -> None:
        entries = [(key.number, value) for key, value in m.items()]
        numbers = [number for number, _ in entries]
        assert len(set(numbers)) == len(numbers)
        assert set(range(40)) <= set(numbers)
        assert all(value % 40 == 0 if number < 40 else value == number for number, value in entries)

    with_writers(change, observe)


def test_a_snapshot_is_one_instant(make_map: MapMaker) -> None:
    m = make_map((place, -1) for place in [(thread, side) for thread in range(THREADS) for side in "ab"])

    def write_b_after_a(thread: int, count: int) -> None:
        m[thread, "a"] = count
        m[thread, "b"] = count

    def observe() -> None:
        for view in (m.snapshot(), m.copy(), pickle.loads(pickle.dumps(m))):
            for thread in range(THREADS):
                assert view[thread, "a"] - view[thread, "b"] in (0, 1)

    with_writers(write_b_after_a, observe)


def test_comparing_and_showing_see_one_instant(make_map: MapMaker) -> None:
    m = make_map(a=0, b=0)
    torn = [{"a": 0, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 0}]  # b follows a, so it is never a step ahead

    def step(thread: int, count: int) -> None:
        if thread == 0:
            m["a"] = (count + 1) % 3
            m["b"] = (count + 1) % 3

    def observe() -> None:
        assert m not in torn
        assert repr(m) not in [f"{make_map.type.__name__}({entries})" for entries in torn]

    with_writers(step, observe, rounds=1500)


def test_a_key_that_moves_is_in_every_snapshot_and_counted_by_len(make_map: MapMaker, make_key: Keys) -> None:
    m = make_map((make_key(1000 * thread), thread) for thread in range(THREADS - 1))

    def move(thread: int, count: int) -> None:
        m[make_key(1000 * thread + count + 1)] = thread
        del m[make_key(1000 * thread + count)]

    def observe() -> None:
        assert THREADS - 1 <= len(m) <= 2 * (THREADS - 1)
        counts = Counter(m.snapshot().values())
        assert all(counts[thread] in (1, 2) for thread in range(THREADS - 1))

    with_writers(move, observe)
    assert len(m) == THREADS - 1


def test_len_counts_what_the_thread_itself_has_stored(make_map: MapMaker, make_key: Keys) -> None:
    m = make_map()

    def work(thread: int) -> None:
        for count in range(100):
            m[make_key(1000 * thread + count)] = count
            assert count + 1 <= len(m) <= THREADS * 100

    hammer(work, THREADS)
    assert len(m) == THREADS * 100


@pytest.mark.parametrize("empty", ["clear", "drain"])
def test_nothing_stored_before_survives(make_map: MapMaker, make_key: Keys, empty: str) -> None:
    m, stored = make_map(), [-1] * THREADS

    def store(thread: int, count: int) -> None:
        m[make_key(1000 * thread + count)] = (thread, count)
        stored[thread] = count

    def observe() -> None:
        before = list(stored)
        getattr(m, empty)()
        assert all(count > before[thread] for thread, count in m.values())

    with_writers(store, observe)
    assert m == {}


def test_drain_takes_every_entry_once(make_map: MapMaker, make_key: Keys) -> None:
    m = make_map()
    taken: Counter[int] = Counter()

    def store(thread: int, count: int) -> None:
        number = 1000 * thread + count
        m[make_key(number)] = number
        m.compute(make_key(-number - 1), lambda old: -number - 1)

    def observe() -> None:
        drained = m.drain()
        assert all(key.number == value for key, value in drained.items())
        taken.update(drained.values())

    with_writers(store, observe)
    numbers = [1000 * thread + count for thread in range(THREADS - 1) for count in range(300)]
    assert taken == Counter([*numbers, *(-number - 1 for number in numbers)])


def test_what_is_stored_after_clear_is_not_lost(make_map: MapMaker, make_key: Keys) -> None:
    m, barrier = make_map(), threading.Barrier(THREADS)

    def work(thread: int) -> None:
        for _ in range(20):
            m.set_many(map(make_key, range(thread, 100, THREADS)), range(100 // THREADS))
            if barrier.wait() == 0:
                m.clear()
            barrier.wait()
            m[make_key(thread)] = "after"
            barrier.wait()
            assert m == {make_key(number): "after" for number in range(THREADS)}
            barrier.wait()

    hammer(work, THREADS)


def test_comparing_two_changing_maps_in_both_directions_ends(make_map: MapMaker) -> None:
    a, b = make_map(k=0), make_map(k=0)

    def work(thread: int) -> None:
        for count in range(100):
            assert (a == b if thread % 2 else b == a) in (True, False)
            (a, b)[thread % 2].update(k=count, other=count)
            assert len(a | b) == 2 or count == 0

    hammer(work, THREADS)
    assert a.keys() == b.keys()


def test_what_reads_a_whole_map_never_raises_because_of_writers(make_map: MapMaker) -> None:
    m, target = make_map(), make_map()

    def write(thread: int, count: int) -> None:
        m[count % 10] = count
        m.pop((count + 5) % 10, None)

    def observe() -> None:
        target.update(m)
        assert repr(m).startswith(make_map.type.__name__)
        assert len(list(m.items())) <= 10
        assert m.keys() & range(10) <= set(range(10))
        assert -1 not in m.values()
        assert m != {-1: -1}
        m.stats()

    with_writers(write, observe)


def test_a_sum_is_its_callers_even_if_others_replace_it_and_the_collector_runs(make_map: MapMaker) -> None:
    m, keys, step = make_map(), range(40), 10_000
    rounds = 5 if FREE_THREADED else 1  # with a GIL there are no counts to merge, and threads wait for it

    def add() -> None:
        for _ in range(60 * rounds):
            for key in keys:
                assert (m.add(key, step, key + 300) - key - 300) % step == 0

    def replace() -> None:
        for _ in range(24 * rounds):
            for key in keys:
                m[key] = key + 300
                m.pop(key, None)

    def collect() -> None:  # merges the counts of references that other threads have given up
        for _ in range(12 * rounds):
            gc.collect()

    work = [add, add, replace, collect]
    hammer(lambda thread: work[thread](), len(work))
