"""The loads that @cached and get_or_load make natively: those who find one running get its outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from tests.kit.hostile import Boom
from threadproof import Cache, cached


def load_beside(outcome: Callable[[], object], join: Callable[[Cache[Any, Any]], None]) -> Cache[Any, Any]:
    """A thread calls a cached function, which calls `outcome` when join(cache) has begun to wait for it."""
    begun, go_on = threading.Event(), threading.Event()

    @cached(max_size=10)
    def f(key: int) -> object:
        begun.set()
        assert go_on.wait(PATIENCE)
        return outcome()

    def call() -> None:
        with suppress(Boom):
            f(1)

    async def main() -> None:
        thread = threading.Thread(target=call)
        thread.start()
        assert begun.wait(PATIENCE)
        task = asyncio.create_task(f.cache.load(1, never))
        await asyncio.sleep(0)
        join(f.cache)
        go_on.set()
        try:
            assert await task == 5
        finally:
            thread.join()

    try:
        asyncio.run(main())
    finally:
        assert not f.cache._loads._running
        assert not f.cache._computations()
    return f.cache


async def never(key: int) -> object:
    raise AssertionError


def test_a_task_gets_the_value_that_a_thread_computes() -> None:
    cache = load_beside(lambda: 5, lambda cache: None)
    assert cache[1] == 5
    assert cache.stats().loads == 1


def test_a_task_gets_what_the_function_raises_in_a_thread() -> None:
    def fail() -> object:
        raise Boom

    with pytest.raises(Boom):
        load_beside(fail, lambda cache: None)


def test_a_computed_value_whose_key_was_invalidated_is_returned_and_not_stored() -> None:
    def invalidate(cache: Cache[Any, Any]) -> None:
        assert not cache.invalidate(1)

    cache = load_beside(lambda: 5, invalidate)
    assert 1 not in cache
    assert cache.stats().loads == 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, Boom])
def test_nothing_is_left_behind_by_a_function_that_raises(interrupt: type[BaseException]) -> None:
    @cached
    def f(*given: int) -> None:
        raise interrupt

    for _ in range(2):
        with pytest.raises(interrupt):
            f(1, 2)
    assert f.cache_info()[:2] == (0, 2)
    assert not f.cache._loads._running
    assert not f.cache._computations()


def test_a_miss_is_counted_once_and_a_hit_calls_nothing() -> None:
    @cached(max_size=10)
    def f(key: int) -> int:
        return -key

    assert [f(key) for key in (1, 2, 1, 2)] == [-1, -2, -1, -2]
    stats = f.cache.stats()
    assert (stats.hits, stats.misses, stats.loads) == (2, 2, 2)
    assert stats.load_seconds > 0


def test_a_subclasss_get_or_load_is_called() -> None:
    keys: list[Any] = []

    class Logged(Cache[Any, Any]):
        def get_or_load(self, key: Any, *given: Any, **options: Any) -> Any:
            keys.append(key)
            return super().get_or_load(key, *given, **options)

    f = cached(cache=Logged(max_size=10))(abs)
    assert f(-3) == 3
    assert keys == [-3]


def test_a_weigher_that_refuses_a_result_leaves_nothing_behind() -> None:
    f = cached(cache=Cache(max_weight=10, weigher=lambda key, value: value))(abs)
    with pytest.raises(ValueError, match="a weight is from 0"):
        f(-(2**40))
    assert f(-7) == 7
    assert len(f.cache) == 1
    assert not f.cache._loads._running
