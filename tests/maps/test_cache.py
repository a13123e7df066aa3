"""Cache's promises beyond the contract: its bound, loading, eviction, errors."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.kit.hostile import Boom
from tests.kit.linearize import REFUSED, Model, Operation
from tests.kit.waiting import run_program
from tests.maps.linearize import verify
from tests.maps.mixes import MIXES, Mix
from tests.maps.model import ABSENT, per_key
from threadproof import REMOVE, Cache, DeadlockError, HashMap
from threadproof.maps.cache import PolicyView

PATIENCE = 60


def double(key: int) -> int:
    return 2 * key


# The bound


@pytest.mark.parametrize("max_size", [0, 1, 2, 50])
def test_no_call_leaves_more_entries_than_the_bound(max_size: int) -> None:
    cache = Cache[int, int](max_size=max_size)
    for i in range(500):
        cache[i % 100] = i
        assert len(cache) <= max_size
    cache.update(dict.fromkeys(range(100), 0))
    cache.set_many(range(100), range(100))
    for i in range(100):
        cache.setdefault(i, 0)
        cache.compute(i + 100, lambda old: 1)
        cache.add(i + 200)
        assert len(cache) <= max_size
    assert len(cache) == max_size == len(cache.snapshot())
    cache.check()


def test_what_is_in_the_cache_is_what_was_stored(seed: int) -> None:
    random, model = Random(seed), dict[int, int]()
    cache = Cache[int, int](max_size=20)
    for i in range(5000):
        key = random.randrange(60)
        if random.random() < 0.7:
            cache[key] = model[key] = i
        elif random.random() < 0.5:
            found = cache.pop(key, None)
            assert found is None or found == model[key]
            model.pop(key, None)
        else:
            assert cache.get(key, model.get(key)) == model.get(key)
    assert all(model[key] == value for key, value in cache.items())
    cache.check()


def test_a_cache_without_a_bound_keeps_everything() -> None:
    cache = Cache(zip(range(10_000), range(10_000), strict=True))
    assert len(cache) == 10_000
    assert cache.max_size is None
    cache.resize(100)
    assert len(cache) == 100
    assert cache.max_size == 100
    cache.resize(None)
    cache.clear()
    cache.update({i: i for i in range(1000)})
    assert len(cache) == 1000
    cache.check()


def test_keys_that_are_used_stay_when_many_pass_by() -> None:
    cache = Cache[int, int](max_size=100)
    for i in range(20_000):
        cache[1000 + i] = i
        cache.get_or_load(i % 20, double)
    assert cache.stats().loads < 100
    assert all(key in cache for key in range(20))


def test_threads_share_a_small_bound() -> None:
    cache = Cache[int, int](max_size=10)

    def work(thread: int) -> None:
        random = Random(thread)
        for i in range(3000):
            key = random.randrange(40)
            match random.randrange(6):
                case 0 | 1:
                    cache[key] = 40 * i + key
                case 2:
                    cache.pop(key, None)
                case 3:
                    new = REMOVE if i % 3 else 40 * i + key
                    cache.compute(key, lambda old, new=new: new)  # type: ignore[misc]
                case _:
                    assert cache.get(key, key) % 40 == key

    hammer(work, 4)
    assert len(cache) <= 10
    assert all(value % 40 == key for key, value in cache.items())
    cache.check()


def test_an_evicted_value_is_released_at_once() -> None:
    class Value:
        pass

    cache = Cache[int, Value](max_size=3)
    values = []
    for i in range(10):
        value = Value()
        values.append(weakref.ref(value))
        cache[i] = value
        del value
    gc.collect()
    assert sum(value() is not None for value in values) == 3


def evicting(model: Model) -> Model:
    """The same, with evictions: an entry may go at any moment, and that matters once it is missed."""

    def step(state: Any, operation: Operation) -> Any:
        after = model.step(state, operation)
        return model.step(ABSENT, operation) if after is REFUSED else after

    return Model(ABSENT, step, model.parts)


def with_evictions(mix: Mix) -> Mix:
    """On maps that several rounds share. count_many() does not say whether it began with an eviction."""
    operations = {name: weight for name, weight in mix.operations.items() if name != "count_many"}
    return replace(mix, operations=operations, model=evicting(per_key), shared=20)


WITH_EVICTIONS = [with_evictions(mix) for mix in MIXES if mix.model is per_key and not mix.churn]


@pytest.mark.parametrize("mix", WITH_EVICTIONS, ids=lambda mix: mix.name.replace(" ", "-"))
@pytest.mark.parametrize("max_size", [0, 1, 4])
def test_a_history_with_evictions_has_an_explanation(mix: Mix, max_size: int, seed: int) -> None:
    print(sum(verify(lambda: Cache(max_size=max_size), mix, Random(seed), 4000)), "operations")


def without_computations(mix: Mix) -> Mix:
    """The old value of a computation may expire while it runs: then others see none, before its result."""
    operations = {
        name: weight for name, weight in mix.operations.items() if "compute" not in name and name != "merge"
    }
    return replace(mix, operations=operations)


WITH_EXPIRY = [without_computations(mix) for mix in WITH_EVICTIONS]


@pytest.mark.parametrize("mix", WITH_EXPIRY, ids=lambda mix: mix.name.replace(" ", "-"))
@pytest.mark.parametrize("life", ["expire_after_write", "expire_after_access"])
def test_a_history_with_expiry_has_an_explanation(mix: Mix, life: str, seed: int) -> None:
    """An entry that has expired is one that has been evicted: it does not come back."""
    options: dict[str, Any] = {life: 2e-5, "jitter": 0.5, "max_size": 4}
    print(sum(verify(lambda: Cache(**options), mix, Random(seed), 2000)), "operations")


def test_a_forked_child_keeps_the_bound() -> None:
    printed = run_program(
        """
        import os, threading, warnings
        from threadproof import Cache
        cache, stop = Cache(max_size=10), threading.Event()
        def write(first):
            while not stop.is_set():
                for i in range(100):
                    cache[first + i] = i
        threads = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
        for t in threads:
            t.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    for i in range(50):
                        cache[-i] = i
                    assert len(cache) == 10, len(cache)
                    cache.check()
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), flush=True)
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for t in threads:
            t.join()
        cache.check()
        print("ok")
        """
    )
    assert printed == "ok"


# Weights


def of_value(key: object, value: int) -> int:
    return value


@pytest.mark.parametrize(
    "store", ["store", "set_many", "setdefault", "compute", "add", "count_many", "merge"]
)
def test_the_weights_of_all_entries_are_within_the_bound(store: str) -> None:
    cache = Cache[int, int](max_weight=50, weigher=of_value)
    stores: dict[str, Callable[[int, int], Any]] = {
        "store": cache.__setitem__,
        "set_many": lambda key, value: cache.set_many([key], [value]),
        "setdefault": cache.setdefault,
        "compute": lambda key, value: cache.compute(key, lambda old: value),
        "add": cache.add,
        "count_many": lambda key, value: cache.count_many([key] * value),
        "merge": lambda key, value: cache.merge(key, value, lambda old, new: old + new),
    }
    for i in range(300):
        stores[store](i % 30, i % 7)
        weight = sum(cache.values())
        assert weight == cache.stats().weight <= 50
    cache.check()


def test_weight_0_stays_and_a_weight_above_the_bound_goes_at_once() -> None:
    evicted: list[object] = []
    cache = Cache[object, int](
        max_weight=10, weigher=of_value, on_evict=lambda key, value, cause: evicted.append(key)
    )
    cache["pinned"] = 0
    cache["heavy"] = 11
    assert evicted == ["heavy"]
    cache.set_many(range(100), [1] * 100)
    assert "pinned" in cache
    assert cache.stats().weight == 10
    cache["pinned"] = 3
    assert sum(cache.values()) <= 10
    cache.resize(2)
    assert cache.max_weight == 2 >= sum(cache.values())
    cache.check()


@pytest.mark.parametrize("weight", [1.5, True, -1, 2**32 - 1, "heavy", None])
def test_a_wrong_weight_is_named_and_nothing_is_stored(weight: Any) -> None:
    weights: list[Any] = [2]
    cache = Cache[str, int](max_weight=10, weigher=lambda key, value: weights[-1])
    cache["k"] = 1
    weights.append(weight)
    stores: list[Callable[[], object]] = [
        lambda: cache.__setitem__("k", 2),
        lambda: cache.compute("k", lambda old: 2),
        lambda: cache.setdefault("new", 2),
        lambda: cache.get_or_load("new", lambda key: 2),
    ]
    for store in stores:
        with pytest.raises((TypeError, ValueError), match=r"key '(k|new)'"):
            store()
    assert cache == {"k": 1}
    assert cache.stats().weight == 2
    cache.check()


def test_the_old_value_has_its_weight_after_a_computation_that_failed() -> None:
    cache = Cache[str, int]({"k": 7}, max_weight=10, weigher=of_value)

    def fail(old: object) -> int:
        raise Boom

    with pytest.raises(Boom):
        cache.compute("k", fail)
    assert cache.stats().weight == 7
    cache.check()


# Eviction


def test_on_evict_gets_each_evicted_entry_and_may_use_the_cache() -> None:
    evicted: list[tuple[int, int, str]] = []

    def on_evict(key: int, value: int, cause: str) -> None:
        evicted.append((key, value, cause))
        assert key not in cache
        assert len(cache) <= 5

    cache = Cache[int, int](max_size=5, on_evict=on_evict)
    for i in range(50):
        cache[i] = -i
    assert len(evicted) == 45 == cache.stats().evictions
    assert all(value == -key and cause == "size" for key, value, cause in evicted)


def test_what_on_evict_raises_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def on_evict(key: int, value: int, cause: str) -> None:
        raise Boom

    cache = Cache[int, int](max_size=1, on_evict=on_evict)
    with caplog.at_level(logging.ERROR):
        for i in range(10):
            cache[i] = i
    assert len(caplog.records) == 1
    assert cache.stats().listener_failures == 9


# Loading


def test_a_missing_value_is_loaded_once_and_stored() -> None:
    calls: list[int] = []

    def loader(key: int) -> int:
        calls.append(key)
        return 2 * key

    cache = Cache[int, int](max_size=10, loader=loader)
    assert [cache.get_or_load(7), cache.get_or_load(7), cache[7]] == [14, 14, 14]
    assert cache.get_or_load(8, lambda key: -key) == -8
    assert calls == [7]
    stats = cache.stats()
    assert (stats.loads, stats.load_failures, stats.hits, stats.misses) == (2, 0, 2, 2)


def test_of_many_threads_one_loads_and_all_get_its_value() -> None:
    calls: list[int] = []
    begun = threading.Event()

    def loader(key: int) -> object:
        calls.append(key)
        assert begun.wait(PATIENCE)
        return object()

    cache = Cache[int, object](max_size=10, loader=loader)
    found: list[object] = [None] * 50

    def work(thread: int) -> None:
        if thread == 49:
            begun.set()
        found[thread] = cache.get_or_load(1)

    hammer(work, 50)
    assert calls == [1]
    assert len(set(map(id, found))) == 1


def test_what_a_loader_raises_reaches_all_and_is_not_stored() -> None:
    cache = Cache[int, int](max_size=10)
    waiting = threading.Event()
    calls: list[int] = []

    def fail(key: int) -> int:
        calls.append(key)
        assert waiting.wait(PATIENCE)
        raise Boom

    def work(thread: int) -> None:
        if thread == 3:
            waiting.set()
            return
        with pytest.raises(Boom):
            cache.get_or_load(1, fail)

    hammer(work, 4)
    assert 1 not in cache
    assert len(calls) == cache.stats().load_failures
    assert cache.get_or_load(1, double) == 2


def test_an_invalidated_load_is_returned_and_not_stored() -> None:
    cache = Cache[int, int](max_size=10)

    def loader(key: int) -> int:
        assert not cache.invalidate(key)
        return 5

    assert cache.get_or_load(1, loader) == 5
    assert 1 not in cache
    assert cache.get_or_load(1, double) == 2
    assert cache.invalidate(1)
    assert not cache.invalidate(1)


def test_an_invalidated_load_of_a_task_or_of_many_keys_is_returned_and_not_stored() -> None:
    cache = Cache[int, int](max_size=10)

    async def load(key: int) -> int:
        cache.invalidate(key)
        return 5

    def load_many(keys: list[int]) -> dict[int, int]:
        cache.invalidate(2)
        return dict.fromkeys(keys, 5)

    assert asyncio.run(cache.load(1, load)) == 5
    assert cache.load_many([2, 3], load_many) == {2: 5, 3: 5}
    assert cache == {3: 5}


def test_a_loader_that_needs_its_own_value_is_a_deadlock() -> None:
    cache = Cache[int, int](max_size=10)
    with pytest.raises(DeadlockError):
        cache.get_or_load(1, lambda key: cache.get_or_load(key, double))
    assert cache.get_or_load(1, lambda key: cache.get_or_load(2, double)) == 4


def test_loads_in_a_circle_are_a_deadlock() -> None:
    cache = Cache[int, int](max_size=10)
    both = threading.Barrier(2)
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        def loader(key: int) -> int:
            both.wait(PATIENCE)
            return cache.get_or_load(1 - key, double)

        try:
            cache.get_or_load(thread, loader)
        except DeadlockError as error:
            errors.append(error)

    hammer(work, 2)
    assert errors
    assert not cache._loads._running


def test_a_timeout_limits_the_waiting_and_not_the_load() -> None:
    cache = Cache[int, int](max_size=10)
    begun, go_on = threading.Event(), threading.Event()

    def slow(key: int) -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return 3

    thread = threading.Thread(target=cache.get_or_load, args=(1, slow))
    thread.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(TimeoutError):
        cache.get_or_load(1, double, timeout=0.01)
    go_on.set()
    thread.join()
    assert cache[1] == 3


def test_a_loader_that_returns_remove_stores_nothing() -> None:
    cache = Cache[int, Any](max_size=10)
    assert cache.get_or_load(1, lambda key: REMOVE) is None
    assert not cache


def test_load_many_loads_the_missing_keys_in_one_call() -> None:
    cache = Cache[int, int]({1: 1}, max_size=10, loader=double)
    calls: list[list[int]] = []

    def loader(keys: list[int]) -> dict[int, int]:
        calls.append(keys)
        return {key: -key for key in keys if key != 4}

    assert cache.load_many([1, 2, 3, 4, 2], loader) == {1: 1, 2: -2, 3: -3}
    assert calls == [[2, 3, 4]]
    assert cache.load_many([1, 5]) == {1: 1, 5: 10}
    assert cache == {1: 1, 2: -2, 3: -3, 5: 10}
    with pytest.raises(Boom):
        cache.load_many([8, 9], lambda keys: (_ for _ in ()).throw(Boom()))
    assert not cache._loads._running
    assert 8 not in cache


# asyncio


def test_tasks_of_several_loops_and_threads_load_a_key_once() -> None:
    cache = Cache[int, int](max_size=100)
    calls: list[int] = []

    async def loader(key: int) -> int:
        calls.append(key)
        await asyncio.sleep(0.001)
        return 2 * key

    async def ask_all() -> list[int]:
        return await asyncio.gather(*(cache.load(key, loader) for key in range(20) for _ in range(5)))

    def work(thread: int) -> None:
        assert asyncio.run(ask_all()) == [2 * key for key in range(20) for _ in range(5)]

    hammer(work, 4)
    assert sorted(calls) == list(range(20))
    assert not cache._loads._running


def test_a_cancelled_task_leaves_the_load_to_the_others_and_the_last_ends_it() -> None:
    cache = Cache[int, int](max_size=100)

    async def main() -> None:
        go_on, ended = asyncio.Event(), asyncio.Event()

        async def loader(key: int) -> int:
            try:
                await go_on.wait()
            finally:
                ended.set()
            return 5

        first, second = (asyncio.create_task(cache.load(1, loader)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert not ended.is_set()
        go_on.set()
        assert await second == 5

        go_on.clear()
        ended.clear()
        only = asyncio.create_task(cache.load(2, loader))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        only.cancel()
        await asyncio.wait([only])
        await asyncio.wait_for(ended.wait(), PATIENCE)
        assert 2 not in cache

    asyncio.run(main())
    assert not cache._loads._running


def test_a_failed_async_load_reaches_all_tasks() -> None:
    cache = Cache[int, int](max_size=100)

    async def fail(key: int) -> int:
        await asyncio.sleep(0)
        raise Boom

    async def main() -> list[Any]:
        return await asyncio.gather(*(cache.load(1, fail) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in asyncio.run(main())] == [Boom] * 3
    assert not cache
    assert cache.stats().load_failures == 1


def test_a_thread_waits_for_the_load_of_a_task_and_its_own_thread_does_not() -> None:
    cache = Cache[int, int](max_size=100)

    async def loader(key: int) -> int:
        with pytest.raises(DeadlockError):
            cache.get_or_load(key, double)
        return await asyncio.to_thread(lambda: 7)

    async def main() -> None:
        begun = asyncio.create_task(cache.load(1, loader))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(cache.get_or_load, 1, lambda key: 7) == 7
        assert await begun == 7

    asyncio.run(main())


# Arguments and copies


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_size": -1}, ValueError, "0 <= max_size"),
        ({"max_size": 2**62}, ValueError, "max_size < 2"),
        ({"max_size": 1.5}, TypeError, r"an int.*1\.5"),
        ({"max_size": True}, TypeError, "an int"),
        ({"loader": 5}, TypeError, r"loader\(key\)"),
        ({"on_evict": "close"}, TypeError, r"on_evict\(key, value, cause\)"),
        ({"size": 5}, TypeError, "size"),
        ({"max_size": 5, "max_weight": 5, "weigher": of_value}, ValueError, "one bound"),
        ({"max_weight": 5}, ValueError, "max_weight= and weigher= together"),
        ({"weigher": of_value}, ValueError, "max_weight= and weigher= together"),
        ({"max_weight": 5, "weigher": 1}, TypeError, r"weigher\(key, value\)"),
    ],
)
def test_a_bad_argument_gets_one_clear_error(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Cache[int, int](**options)


def test_async_and_missing_loaders_are_refused() -> None:
    async def loader(key: int) -> int:
        return key

    with pytest.raises(TypeError, match=r"await cache\.load"):
        Cache[int, Any](loader=loader)
    with pytest.raises(TypeError, match="made without one"):
        Cache[int, int]().get_or_load(1)
    with pytest.raises(TypeError, match=r"await cache\.load"):
        Cache[int, Any]().get_or_load(1, loader)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_has_the_options(make: Callable[[Cache[int, int]], Cache[int, int]]) -> None:
    cache = Cache({1: 1, 2: 2}, max_size=5, loader=double)
    other = make(cache)
    other.update({i: i for i in range(10)})
    assert (len(other), other.max_size, other.get_or_load(100)) == (5, 5, 200)
    assert cache == {1: 1, 2: 2}
    other.check()


def test_stats_tell_the_weight_and_the_hits_of_another_bound() -> None:
    cache = Cache[int, int](max_size=500, loader=double)
    for i in range(100_000):
        cache.get_or_load(i % 1000)
    stats = cache.stats()
    assert stats.size == stats.weight == 500
    assert stats.hits + stats.misses == 100_000
    assert stats.loads == stats.misses
    assert 0.3 < stats.hit_ratio < 0.6
    assert stats.half_hit_ratio < stats.hit_ratio < stats.double_hit_ratio


def test_a_cache_is_freed_with_its_last_reference() -> None:
    cache = Cache[int, int].counted({1: 1})
    cache.resize(5)
    gone = weakref.ref(cache)
    del cache
    assert gone() is None


def test_a_map_holds_a_cache_and_garbage_is_collected() -> None:
    cache = Cache[int, Any](max_size=5)
    cache[1] = HashMap({"cache": cache})
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


# The policy's order


def test_policy_has_the_ends_of_the_order_of_eviction() -> None:
    cache = Cache[int, int]({i: i for i in range(100)}, max_size=100)
    for key in (7, 8, 9):
        assert cache[key] == key
    view = cache.policy(3)
    assert view.hottest == [9, 8, 7]
    cold = cache.policy(1000)
    assert cold.coldest[:3] == view.coldest
    assert cold.coldest == cold.hottest[::-1]
    assert sorted(cold.coldest) == list(range(100))
    cache[100] = 100
    assert view.hottest == cache.policy(3).hottest
    assert (cache.policy(0), Cache[int, int]().policy()) == (PolicyView([], [], []),) * 2


def test_oldest_are_those_that_expire_first() -> None:
    now = 0.0
    cache = Cache[int, int](expires=lambda key, value, now: value or None, clock=lambda: now)
    for key, end in enumerate([50, 30, 0, 40, 10, 20]):
        cache[key] = end
    assert cache.policy(3).oldest == [4, 5, 1]
    assert cache.policy().oldest == [4, 5, 1, 3, 0]
    now = 15.0
    assert cache.policy(2).oldest == [5, 1]
    assert 4 not in cache.policy().coldest


def test_policy_has_the_old_value_of_a_computation_and_no_reserved_key() -> None:
    cache = Cache[int, int]({1: 1}, max_size=5)
    assert cache.compute(1, lambda old: cache.policy().hottest[0]) == 1
    assert cache.compute_if_absent(2, lambda key: len(cache.policy().hottest)) == 1


def test_policy_has_keys_of_the_cache_while_threads_change_it() -> None:
    cache = Cache[int, int](max_size=50)

    def work(thread: int) -> None:
        for i in range(2000):
            cache[(i * 7 + thread) % 200] = i
            if i % 50 == 0:
                view = cache.policy(20)
                assert all(0 <= key < 200 for key in view.hottest + view.coldest)
                assert max(len(view.hottest), len(view.coldest)) <= 20
                assert len(set(view.hottest)) == len(view.hottest)

    hammer(work, 4)
    cache.check()


@pytest.mark.parametrize(
    ("count", "error", "message"),
    [(-1, ValueError, "0 <= count"), (1.5, TypeError, r"an int, got 1\.5"), (True, TypeError, "got True")],
)
def test_a_bad_count_gets_one_clear_error(count: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Cache[int, int]().policy(count)


@pytest.mark.parametrize(
    ("options", "most"), [({}, 95), ({"expire_after_write": 1000}, 115), ({"expire_after_access": 1000}, 115)]
)
def test_an_entry_takes_few_bytes(options: dict[str, Any], most: int) -> None:
    cache = Cache[int, int](max_size=100_000, **options)
    cache.update(dict.fromkeys(range(120_000), 0))
    assert cache.stats().bytes < most * len(cache)
