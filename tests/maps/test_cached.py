"""@cached: what functools.lru_cache promises, and one computation for each missing result."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import weakref
from functools import lru_cache
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.kit.hostile import Boom
from tests.kit.waiting import until
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


@pytest.mark.parametrize("decorate", [lambda: cached(typed=True), lambda: lru_cache(typed=True)])
def test_types_can_count(decorate: Any) -> None:
    @decorate()  # type: ignore[untyped-decorator]
    def f(a: Any, b: Any = 0) -> Any:
        return a, b

    for call in (lambda: f(1), lambda: f(1.0), lambda: f(True), lambda: f(1, b=2), lambda: f(1, b=2.0)):
        assert [type(item) for item in call()] == [type(item) for item in call()]  # type: ignore[no-untyped-call]
    assert f.cache_info()[:2] == (5, 5)


def test_each_instance_can_have_a_cache_which_goes_with_it() -> None:
    class Class:
        def __init__(self, number: int) -> None:
            self.number = number

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

        @cached(per_instance=True, max_size=5)
        def method(self, other: int, *, times: int = 1) -> int:
            """The doc."""
            return self.number + other * times

    one: Any = Class(1)
    two: Any = Class(2)
    assert [one.method(5), two.method(5), one.method(5, times=2), one.method(5)] == [6, 7, 11, 6]
    assert [one.method.cache_info()[:2], two.method.cache_info()[:2]] == [(1, 2), (0, 1)]
    assert one.method.invalidate(5)
    assert (Class.method.__doc__, Class.method(two, 5)) == ("The doc.", 7)
    twin = copy.copy(one)
    twin.number = 100
    assert twin.method(5) == 105
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert len(inspect.getattr_static(Class, "method")._caches) == 2


def test_an_instance_without_weak_references_is_refused() -> None:
    class Slotted:
        __slots__ = ()

        @cached(per_instance=True)
        def method(self) -> int:
            return 1

    with pytest.raises(TypeError, match="add '__weakref__' to the __slots__ of Slotted"):
        Slotted().method()


def test_results_expire_and_errors_are_kept() -> None:
    now, calls = 0.0, 0

    @cached(expire_after_write=10, cache_errors=2, clock=lambda: now)
    def f(a: int) -> int:
        nonlocal calls
        calls += 1
        if a < 0:
            raise Boom
        return calls

    assert [f(1), f(1)] == [1, 1]
    now = 10.0
    assert f(1) == 2
    for _ in range(3):
        with pytest.raises(Boom):
            f(-1)
    assert calls == 3


def test_old_results_are_computed_again_in_the_background() -> None:
    now, calls = 0.0, 0

    @cached(refresh_after=10, clock=lambda: now)
    def f(a: int) -> int:
        nonlocal calls
        calls += 1
        return calls

    assert f(1) == 1
    now = 10.0
    assert f(1) == 1
    until(lambda: f(1) == 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 5}, "has no option 'ttl'; it has cache_errors, clock, expire_after_access"),
        ({"cache": Cache(), "jitter": 0.5}, "wants cache=, or jitter=, got both"),
        ({"cache": Cache(), "per_instance": True}, "wants cache=, or per_instance=, got both"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cached(**options)


def test_a_cached_function_is_found_by_its_name_and_freed() -> None:
    assert pickle.loads(pickle.dumps(of_the_module)) is of_the_module
    assert copy.deepcopy(of_the_module) is of_the_module

    @cached
    def f(a: int) -> Any:
        return functions[0]  # a cycle through its own cache

    functions = [f]
    f(1)
    gone = weakref.ref(f)
    functions.clear()
    del f
    gc.collect()
    assert gone() is None


@cached
def of_the_module(a: int) -> int:
    return a


def test_threads_call_it_while_it_is_cleared() -> None:
    def work(index: int) -> None:
        for i in range(3000):
            assert of_the_module(i % 50) == i % 50
            if i % 500 == index:
                of_the_module.cache_clear()

    hammer(work, 4)
