"""@cached: what functools.lru_cache promises, and one computation for each missing result."""

from __future__ import annotations

import asyncio
import inspect
from functools import lru_cache
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.kit.hostile import Boom
from threadproof import Cache, DeadlockError, cached

BOTH = pytest.mark.parametrize("decorate", [lambda: cached(max_size=20), lambda: lru_cache(maxsize=20)])


@BOTH
def test_it_is_called_like_the_function(decorate: Any) -> None:
    calls: list[Any] = []

    @decorate()  # type: ignore[untyped-decorator]
    def f(a: Any, b: Any = 0, *rest: Any, **named: Any) -> Any:
        """The doc."""
        calls.append((a, b))
        return a, b, rest, named

    for _ in range(2):
        assert f(1) == (1, 0, (), {})
        assert f(1, 2, 3, x=4) == (1, 2, (3,), {"x": 4})
        assert f("a") == ("a", 0, (), {})
        assert f((1, 2)) == ((1, 2), 0, (), {})
        assert f(1, b=2) == (1, 2, (), {})
    assert len(calls) == 5
    info = f.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (5, 5, 20, 5)
    assert f.cache_parameters() == {"maxsize": 20, "typed": False}
    assert (f.__name__, f.__doc__, f.__wrapped__(1)) == ("f", "The doc.", (1, 0, (), {}))
    assert list(inspect.signature(f).parameters) == ["a", "b", "rest", "named"]
    f.cache_clear()
    assert f.cache_info().currsize == 0


@BOTH
def test_what_it_raises_is_not_kept(decorate: Any) -> None:
    failing = True

    @decorate()  # type: ignore[untyped-decorator]
    def f(a: int) -> int:
        if failing:
            raise Boom
        return a

    with pytest.raises(Boom):
        f(1)
    failing = False
    assert f(1) == 1
    with pytest.raises(TypeError, match="unhashable"):
        f([])


@BOTH
def test_a_method_has_one_cache_for_all_instances(decorate: Any) -> None:
    class Class:
        def __init__(self, number: int) -> None:
            self.number = number

        @decorate()  # type: ignore[untyped-decorator]
        def method(self, other: int) -> int:
            return self.number + other

    one, two = Class(1), Class(2)
    assert [one.method(5), two.method(5), one.method(5)] == [6, 7, 6]
    assert Class.method.cache_info()[:2] == (1, 2)


def test_threads_compute_a_result_once() -> None:
    calls: list[int] = []

    @cached(max_size=None)
    def f(a: int) -> int:
        calls.append(a)
        return 2 * a

    hammer(lambda thread: [f(i) for i in range(300)], 4)
    assert sorted(calls) == list(range(300))


def test_a_coroutine_functions_results_are_kept() -> None:
    calls: list[int] = []

    @cached
    async def f(a: int) -> int:
        calls.append(a)
        await asyncio.sleep(0)
        return 2 * a

    async def main() -> list[int]:
        return list(await asyncio.gather(f(1), f(1), f(2)))

    assert asyncio.run(main()) == [2, 2, 4]
    assert asyncio.run(main()) == [2, 2, 4]
    assert calls == [1, 2]


def test_a_key_and_a_cache_may_be_given() -> None:
    cache = Cache[str, int](max_size=5)

    @cached(cache=cache, key=lambda word, other: word.lower())
    def f(word: str, other: int) -> int:
        return other

    assert [f("A", 1), f("a", 2), f.invalidate("a", 3), f("a", 4)] == [1, 1, True, 4]
    assert cache == {"a": 4}
    assert f.cache is cache


def test_wrong_functions_are_refused() -> None:
    def generator() -> Any:
        yield 1

    with pytest.raises(TypeError, match="return a tuple"):
        cached(generator)
    with pytest.raises(TypeError, match=r"@cached\(max_size=5\)"):
        cached(5)  # type: ignore[call-overload]


def test_a_function_that_needs_its_own_result_is_a_deadlock_and_recursion_is_not() -> None:
    @cached(max_size=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @cached
    def circle(n: int) -> int:
        return circle(n)

    assert fibonacci(60) == 1548008755920
    with pytest.raises(DeadlockError):
        circle(1)
