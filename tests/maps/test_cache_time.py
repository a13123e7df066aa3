"""Cache and time: expiry, loading again, errors that are kept, and what on_evict gets."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest

from tests.kit.hammer import hammer
from tests.kit.hostile import Boom
from tests.kit.waiting import run_program, until
from threadproof import REMOVE, Cache
from threadproof.maps import cache_threads


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def cache_of_one(**options: Any) -> tuple[Cache[str, Any], Clock]:
    clock = Clock()
    cache = Cache[str, Any]({"a": 1}, clock=clock, **options)
    return cache, clock


# Expiry

ABSENT: dict[str, Callable[[Cache[str, Any]], bool]] = {
    "in": lambda cache: "a" not in cache,
    "get": lambda cache: cache.get("a") is None,
    "get_many": lambda cache: cache.get_many(["b", "a"]) == [None, None],
    "len": lambda cache: len(cache) == 0,
    "iter": lambda cache: list(cache) == [],
    "items": lambda cache: list(cache.items()) == [],
    "snapshot": lambda cache: cache.snapshot() == {},
    "==": lambda cache: cache == {},
    "copy": lambda cache: dict(copy.copy(cache)) == {},
    "pop": lambda cache: cache.pop("a", None) is None,
    "swap": lambda cache: cache.swap("a", 2) is None,
    "setdefault": lambda cache: cache.setdefault("a", 2) == 2,
    "compute": lambda cache: cache.compute("a", lambda old: (old, 2), 0) == (0, 2),
    "compute_if_absent": lambda cache: cache.compute_if_absent("a", lambda key: 2) == 2,
    "compute_if_present": lambda cache: cache.compute_if_present("a", lambda old: 2) is None,
    "merge": lambda cache: cache.merge("a", 2, lambda old, new: old) == 2,
    "add": lambda cache: cache.add("a", 5) == 5,
    "count_many": lambda cache: cast(Any, cache).count_many(["a"]) is None and cache["a"] == 1,
    "compare_and_swap": lambda cache: not cache.compare_and_swap("a", 1, 2),
    "compare_and_delete": lambda cache: not cache.compare_and_delete("a", 1),
    "delete_many": lambda cache: cache.delete_many(["a"]) == 0,
    "drain": lambda cache: cache.drain() == {},
    "get_or_load": lambda cache: cache.get_or_load("a", lambda key: 2) == 2,
    "load_many": lambda cache: cache.load_many(["a"], lambda keys: {"a": 2}) == {"a": 2},
    "load": lambda cache: asyncio.run(cache.load("a", two)) == 2,
    "invalidate": lambda cache: not cache.invalidate("a"),
    "stats": lambda cache: cache.stats().size == 0,
}


async def two(key: str) -> int:
    return 2


@pytest.mark.parametrize("name", ABSENT)
def test_what_has_expired_is_absent(name: str) -> None:
    cache, clock = cache_of_one(expire_after_write=10)
    clock.now += 9.5
    assert cache["a"] == 1
    clock.now += 0.5
    assert ABSENT[name](cache)
    cache.check()


def test_popitem_finds_nothing_that_has_expired() -> None:
    cache, clock = cache_of_one(expire_after_write=10)
    clock.now += 10
    with pytest.raises(KeyError):
        cache.popitem()


def test_each_write_begins_a_new_life() -> None:
    cache, clock = cache_of_one(expire_after_write=10)
    for write in (
        lambda: cache.update(a=1),
        lambda: cache.compute("a", lambda old: old),
        lambda: cache.add("a", 1),
        lambda: cache.swap("a", 1),
        lambda: cache.compare_and_swap("a", 1, 2),
        lambda: cache.set_many(["a"], [3]),
    ):
        clock.now += 9
        write()
    clock.now += 9
    assert cache["a"] == 3
    clock.now += 1
    assert "a" not in cache


def test_a_read_does_not_prolong_a_life_after_write_and_a_failed_computation_does_not() -> None:
    cache, clock = cache_of_one(expire_after_write=10)
    clock.now += 9
    assert cache["a"] == 1
    with pytest.raises(Boom):
        cache.compute("a", raise_boom)
    clock.now += 1
    assert "a" not in cache


def raise_boom(*_: Any) -> Any:
    raise Boom


def test_a_value_lives_from_the_end_of_its_computation() -> None:
    cache, clock = cache_of_one(expire_after_write=10)

    def slow(old: Any) -> int:
        clock.now += 100
        return 2

    cache.compute("a", slow)
    clock.now += 9
    assert cache["a"] == 2


@pytest.mark.parametrize("use", ["read", "get_many", "get_or_load", "write"])
def test_uses_prolong_a_life_after_access(use: str) -> None:
    cache, clock = cache_of_one(expire_after_access=10)
    for _ in range(5):
        clock.now += 9
        match use:
            case "read":
                assert cache["a"] == 1
            case "get_many":
                assert cache.get_many(["a"]) == [1]
            case "get_or_load":
                assert cache.get_or_load("a", raise_boom) == 1
            case _:
                cache["a"] = 1
    clock.now += 9
    assert ("a" in cache, len(cache), list(cache)) == (True, 1, ["a"])  # none is a use
    clock.now += 1
    assert "a" not in cache


def test_with_two_lifetimes_the_first_to_end_counts() -> None:
    cache, clock = cache_of_one(expire_after_access=10, expire_after_write=25)
    for _ in range(2):
        clock.now += 9
        assert cache["a"] == 1
    clock.now += 6
    assert cache["a"] == 1
    clock.now += 1
    assert "a" not in cache


def test_each_entry_can_have_a_time_of_its_own() -> None:
    clock = Clock()
    cache = Cache[int, float | None](expires=lambda key, ttl, now: ttl and now + ttl, clock=clock)
    for i in range(1, 200):
        cache[i] = float(i)
    cache[0] = None  # for ever
    cache.setdefault(1000, 50.0)
    for passed in range(1, 200):
        clock.now = 100.0 + passed
        assert len(cache) == 200 - passed + (passed < 50)
    clock.now = 1e9
    assert list(cache) == [0]
    cache[1] = -5.0  # over before it begins
    assert 1 not in cache
    cache.check()


def test_expires_is_called_for_each_value_and_what_it_raises_stores_nothing() -> None:
    cache = Cache[str, Any](expires=lambda key, value, now: now + value)
    with pytest.raises(TypeError):
        cache["a"] = "x"
    assert "a" not in cache
    cache["a"] = 100
    assert cache.add("a", 1) == 101
    with pytest.raises(TypeError, match="expires"):
        Cache[str, int](expires=lambda key, value, now: "soon")["a"] = 1  # type: ignore[arg-type,return-value]


def test_jitter_spreads_what_was_stored_together() -> None:
    clock = Clock()
    cache = Cache[int, int](expire_after_write=100, jitter=0.5, clock=clock)
    cache.update((i, i) for i in range(1000))
    clock.now += 49.9
    assert len(cache) == 1000
    sizes = []
    for _ in range(5):
        clock.now += 10
        sizes.append(len(cache))
    assert all(
        abs(size - expected) < 100 for size, expected in zip(sizes, (800, 600, 400, 200, 0), strict=True)
    )


def test_a_clock_that_goes_back_stands() -> None:
    cache, clock = cache_of_one(expire_after_write=10)
    clock.now += 10
    assert "a" not in cache
    cache["a"] = 2
    clock.now -= 50
    assert cache["a"] == 2
    cache["b"] = 3
    clock.now += 59
    assert cache.snapshot() == {"a": 2, "b": 3}
    clock.now += 1
    assert len(cache) == 0
    cache.check()


def test_a_clock_that_raises_stands_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_type))
    cache, clock = cache_of_one(expire_after_write=10)
    for wrong in (None, "noon", float("nan")):
        clock.now = wrong  # type: ignore[assignment]
        assert cache["a"] == 1
    assert reported == [TypeError, TypeError, ValueError]
    clock.now = 110.0
    assert "a" not in cache


def test_the_clock_may_use_the_cache() -> None:
    inside = False

    def clock() -> float:
        nonlocal inside
        if not inside:
            inside = True
            cache["clock"] = cache.get("clock", 0) + 1
            inside = False
        return time.monotonic()

    cache = Cache[str, int]()
    cache = Cache(expire_after_write=1000, clock=clock)
    for i in range(100):
        cache[str(i % 10)] = i
        assert len(cache) <= 11
    cache.check()


@pytest.mark.parametrize("lives", [{"expire_after_write": 7}, {"expire_after_access": 7}, {}])
def test_random_operations_agree_with_a_dict_of_deadlines(lives: dict[str, Any], seed: int) -> None:
    random, clock = Random(seed), Clock()
    cache = Cache[int, int](
        clock=clock, **(lives or {"expires": lambda key, value, now: now + value % 9 + 1})
    )
    model: dict[int, tuple[int, float]] = {}

    def deadline(value: int) -> float:
        return clock.now + (7 if lives else value % 9 + 1)

    for i in range(5000):
        key = random.randrange(30)
        model = {k: (value, end) for k, (value, end) in model.items() if end > clock.now}
        match random.randrange(8):
            case 0 | 1:
                cache[key] = i
                model[key] = i, deadline(i)
            case 2:
                assert cache.pop(key, None) == model.pop(key, (None, 0))[0]
            case 3 | 4:
                found = cache.get(key)
                assert found == model.get(key, (None, 0))[0]
                if found is not None and "expire_after_access" in lives:
                    model[key] = found, deadline(found)
            case 5:
                clock.now += random.choice([0, 0.001, 0.5, 3])
            case 6:
                assert cache.snapshot() == {k: value for k, (value, _) in model.items()}
            case _:
                assert (key in cache) == (key in model)
    cache.check()


def test_no_thread_gets_a_value_that_had_expired_when_it_asked(seed: int) -> None:
    clock = Clock(0)
    cache = Cache[int, float](max_size=50, expires=lambda key, value, now: value, clock=clock)
    lock = threading.Lock()

    def work(index: int) -> None:
        random = Random(seed + index)
        for _ in range(2000):
            key, began = random.randrange(80), clock.now
            match random.randrange(6):
                case 0 | 1:
                    cache[key] = began + 5
                case 2 if random.randrange(200) == 0:  # see the test of the core
                    with lock:
                        clock.now += 1
                case 3 if random.randrange(10) == 0:
                    assert all(until > began for until in cache.snapshot().values())
                case _:
                    assert cache.get(key, began + 1) > began

    hammer(work, 4)
    cache.check()


# What happens without calls


def test_an_idle_cache_gives_its_memory_back() -> None:
    class Value:
        pass

    cache = Cache[int, Value](expire_after_write=0.05)
    value = Value()
    gone = weakref.ref(value)
    cache[1] = value
    del value
    until(lambda: gc.collect() is not None and gone() is None)
    assert cache.stats().expirations == 1


def test_the_thread_does_not_keep_caches_alive_and_ends_without_them() -> None:
    printed = run_program(
        """
        import gc, threading, time, weakref
        from threadproof import Cache
        from threadproof.maps import cache_threads
        cache_threads.PERIOD = 0.01
        caches = [Cache(expire_after_write=100) for _ in range(10)]
        refs = [weakref.ref(cache) for cache in caches]
        (thread,) = [t for t in threading.enumerate() if t.name == "threadproof-cache-expiry"]
        time.sleep(0.05)
        del caches
        while any(ref() is not None for ref in refs):
            gc.collect()
        thread.join(60)
        print(thread.is_alive(), len(cache_threads.sweeper.caches))
        cache = Cache({1: 1}, expire_after_write=0.01)
        while cache._stats()[0]:
            time.sleep(0.01)
        print("again")
        """
    )
    assert printed == "False 0\nagain"


def test_a_forked_child_expires_and_loads_again() -> None:
    printed = run_program(
        """
        import gc, os, time, warnings, weakref
        warnings.simplefilter("ignore")
        from threadproof import Cache
        from threadproof.maps import cache_threads
        cache_threads.PERIOD = 0.01
        class Value: pass
        cache = Cache(expire_after_write=0.2, on_evict=lambda *gone: gones.append(gone))
        gones = []
        cache[1] = 2
        loading = Cache(refresh_after=0.001, loader=lambda key: os.getpid())
        loading.get_or_load(1)
        time.sleep(0.01)
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            print("child", status)
        else:
            while not gones:
                time.sleep(0.01)
            while loading.get_or_load(1) != os.getpid():
                time.sleep(0.01)
            os._exit(0)
        """
    )
    assert printed == "child 0"


def test_the_end_of_a_program_is_silent() -> None:
    assert (
        run_program(
            """
            import time
            from threadproof import Cache
            slow = lambda *_: time.sleep(0.001)
            cache = Cache({i: i for i in range(1000)}, expire_after_write=0.001, on_evict=slow)
            again = Cache({1: 1}, refresh_after=0.001)
            time.sleep(0.01)
            again.get_or_load(1, lambda key: time.sleep(100))
            print("end")
            """
        )
        == "end"
    )


# Loading again


def wait_until_loaded(cache: Cache[Any, Any], loads: int) -> None:
    until(lambda: cache.stats().loads + cache.stats().load_failures == loads)
    until(lambda: not cache._loads._running)


def test_an_old_value_is_served_and_loaded_again_once() -> None:
    clock, go = Clock(), threading.Event()
    calls: list[str] = []

    def load(key: str) -> int:
        calls.append(key)
        if len(calls) > 1:
            assert go.wait(60)
        return len(calls)

    cache = Cache[str, int](refresh_after=10, loader=load, clock=clock)
    assert cache.get_or_load("a") == 1
    clock.now += 9
    assert cache.get_or_load("a") == 1
    clock.now += 1
    assert [cache.get_or_load("a") for _ in range(100)] == [1] * 100
    until(lambda: len(calls) == 2)
    assert cache["a"] == 1
    go.set()
    until(lambda: cache["a"] == 2)
    assert cache.get_or_load("a") == 2
    assert len(calls) == 2


def test_a_refresh_that_fails_is_counted_and_comes_again_later() -> None:
    clock = Clock()
    cache = Cache[str, int]({"a": 1}, refresh_after=10, loader=raise_boom, cache_errors=100, clock=clock)
    for failures in (1, 2):
        clock.now += 10
        assert cache.get_or_load("a") == cache.get_or_load("a") == 1
        wait_until_loaded(cache, failures)
        assert cache.get_or_load("a") == 1
    assert cache.stats().load_failures == 2


@pytest.mark.parametrize(
    ("meanwhile", "after"),
    [
        (lambda cache: cache.update(a=7), 7),
        (lambda cache: cache.pop("a"), None),
        (lambda cache: cache.invalidate("a"), None),
        (lambda cache: cache.clear(), None),
    ],
    ids=["write", "pop", "invalidate", "clear"],
)
def test_a_refresh_replaces_the_old_value_only(meanwhile: Callable[[Any], object], after: int | None) -> None:
    clock, begun, go = Clock(), threading.Event(), threading.Event()

    def load(key: str) -> int:
        begun.set()
        assert go.wait(60)
        return 2

    cache = Cache[str, int]({"a": 1}, refresh_after=10, loader=load, clock=clock)
    clock.now += 10
    assert cache.get_or_load("a") == 1
    assert begun.wait(60)
    meanwhile(cache)
    go.set()
    wait_until_loaded(cache, 1)
    assert cache.get("a") == after


def test_a_refresh_may_remove_the_value() -> None:
    clock = Clock()
    cache = Cache[str, int]({"a": 1}, refresh_after=10, loader=lambda key: REMOVE, clock=clock)  # type: ignore[arg-type,return-value]
    clock.now += 10
    assert cache.get_or_load("a") == 1
    until(lambda: "a" not in cache)


def test_a_task_loads_again() -> None:
    clock = Clock()
    cache = Cache[str, int]({"a": 1}, refresh_after=10, clock=clock)

    async def main() -> None:
        clock.now += 10
        assert [await cache.load("a", two) for _ in range(3)] == [1, 1, 1]
        while cache["a"] != 2:
            await asyncio.sleep(0)
        assert cache.stats().loads == 1

    asyncio.run(main())


def test_many_old_keys_are_loaded_again_by_few_threads() -> None:
    clock, threads = Clock(), set()
    cache = Cache[int, int](((i, 0) for i in range(500)), refresh_after=10, clock=clock)

    def load(key: int) -> int:
        threads.add(threading.get_ident())
        return 1

    clock.now += 10
    for i in range(500):
        cache.get_or_load(i, load)
    until(lambda: sum(cache.values()) == 500)
    assert len(threads) <= cache_threads.WORKERS


# Errors that are kept


def test_an_error_is_raised_again_for_as_long_as_was_said() -> None:
    clock, calls = Clock(), 0

    def load(key: str) -> int:
        nonlocal calls
        calls += 1
        raise Boom(calls)

    cache = Cache[str, int](loader=load, cache_errors=5, clock=clock)
    for _ in range(10):
        with pytest.raises(Boom, match="1"):
            cache.get_or_load("a")
    with pytest.raises(Boom, match="1"):
        asyncio.run(cache.load("a", two))
    assert len(cache) == 0
    clock.now += 5
    with pytest.raises(Boom, match="2"):
        cache.get_or_load("a")
    cache.invalidate("a")
    with pytest.raises(Boom, match="3"):
        cache.get_or_load("a")
    cache.clear()
    with pytest.raises(Boom, match="4"):
        cache.get_or_load("a")
    assert calls == 4


# on_evict


def test_each_value_that_leaves_is_told_with_its_cause() -> None:
    clock, gone = Clock(), list[tuple[Any, Any, str]]()
    cache = Cache[Any, Any](
        max_size=100, expire_after_write=10, clock=clock, on_evict=lambda *event: gone.append(event)
    )

    def leaves(key: Any, value: Any, cause: str) -> None:
        assert gone == [(key, value, cause)]
        gone.clear()

    value = object()
    cache["a"] = value
    cache["a"] = value  # by itself
    with pytest.raises(Boom):
        cache.compute("a", raise_boom)
    assert gone == []
    cache["a"] = 2
    leaves("a", value, "replaced")
    cache.merge("a", 1, lambda old, new: old + new)
    leaves("a", 2, "replaced")
    cache.add("a")
    leaves("a", 3, "replaced")
    cache.compute("a", lambda old: REMOVE)
    leaves("a", 4, "removed")
    for remove in (
        lambda: cache.pop("b"),
        lambda: cache.__delitem__("b"),
        lambda: cache.popitem(),
        lambda: cache.drain(),
        lambda: cache.invalidate("b"),
        lambda: cache.compare_and_delete("b", 1),
        lambda: cache.delete_many(["b"]),
    ):
        cache["b"] = 1
        remove()
        leaves("b", 1, "removed")
    cache["c"] = 1
    cache.clear()
    leaves("c", 1, "cleared")
    cache["d"] = 1
    clock.now += 10
    cache["d"] = 2
    leaves("d", 1, "expired")
    clock.now += 10
    cache.expire()
    leaves("d", 2, "expired")
    cache["e"] = 1
    cache.resize(0)
    leaves("e", 1, "size")
    assert cache.stats().expirations == 2


def test_a_cache_that_is_collected_closes_its_values() -> None:
    gone = list[tuple[Any, Any, str]]()
    cache = Cache[str, int]({"a": 1, "b": 2}, on_evict=lambda *event: gone.append(event))
    del cache
    gc.collect()
    assert sorted(gone) == [("a", 1, "collected"), ("b", 2, "collected")]


def test_nested_caches_are_collected_without_recursion() -> None:
    gone = list[str]()
    cache = Cache[str, Any](on_evict=lambda key, value, cause: gone.append(cause))
    for _ in range(20_000):
        cache = Cache[str, Any]({"inner": cache}, on_evict=lambda key, value, cause: gone.append(cause))
    del cache
    gc.collect()
    assert gone == ["collected"] * 20_000


def test_threads_get_one_call_for_each_value_they_store(seed: int) -> None:
    lock, stored, gone = threading.Lock(), 0, list[int]()
    clock = Clock()
    cache = Cache[int, int](
        max_size=20, expire_after_write=5, clock=clock, on_evict=lambda key, value, cause: gone.append(value)
    )

    def work(index: int) -> None:
        nonlocal stored
        random = Random(seed + index)
        for _ in range(2000):
            key = random.randrange(40)
            match random.randrange(6):
                case 0 | 1 | 2:
                    with lock:
                        stored += 1
                        value = stored
                    cache[key] = value
                case 3:
                    cache.pop(key, None)
                case 4:
                    clock.now += random.random() / 4
                case _ if random.randrange(100) == 0:
                    cache.clear()
                case _:
                    cache.get(key)

    hammer(work, 4)
    cache.clear()
    assert sorted(gone) == list(range(1, stored + 1))


def test_on_evict_may_write_to_the_cache() -> None:
    clock = Clock()
    kept = Cache[str, int]()

    def on_evict(key: str, value: int, cause: str) -> None:
        kept.add(cause)
        if cause == "expired":
            cache["again"] = value

    cache = Cache[str, int](max_size=10, expire_after_write=1, clock=clock, on_evict=on_evict)
    for i in range(100):
        cache[str(i)] = i
        clock.now += 0.5
    cache.check()
    assert kept["expired"] > 50


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"expire_after_write": 0}, ValueError, "expire_after_write > 0 seconds.*got 0"),
        ({"expire_after_access": -1.5}, ValueError, "expire_after_access > 0 seconds.*got -1.5"),
        ({"refresh_after": float("nan")}, ValueError, "refresh_after > 0 seconds.*got nan"),
        ({"cache_errors": "1m"}, TypeError, "cache_errors in seconds.*got '1m'"),
        ({"expire_after_write": True}, TypeError, "expire_after_write in seconds"),
        ({"jitter": 2, "expire_after_write": 1}, ValueError, "0 <= jitter <= 1.*got 2"),
        ({"jitter": 0.1}, ValueError, "jitter= together with expire_after_write="),
        ({"jitter": "a"}, TypeError, "jitter as a number"),
        ({"expires": 5}, TypeError, r"expires\(key, value, now\) -> time as expires, got int"),
        ({"expires": max, "expire_after_write": 5}, ValueError, "got both"),
        ({"clock": 5}, TypeError, r"clock\(\) -> seconds as clock, got int"),
        ({"clock": lambda: "noon"}, TypeError, r"clock\(\) to return seconds as a number, got 'noon'"),
    ],
)
def test_a_bad_time_gets_one_clear_error(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Cache[str, int](**options)


def clock_of_pickled_caches() -> float:
    return 1000.0


@pytest.mark.parametrize("make", [copy.copy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_a_copy_has_the_times_too(make: Callable[[Any], Cache[str, int]]) -> None:
    cache = Cache[str, int](
        {"a": 1}, expire_after_write=5, jitter=0.5, refresh_after=3, clock=clock_of_pickled_caches
    )
    made = make(cache)
    assert (made, made._options) == (cache, cache._options)


def test_very_long_lives_are_for_ever() -> None:
    cache, clock = cache_of_one(expire_after_write=float("inf"))
    clock.now += 1e9
    assert cache["a"] == 1
