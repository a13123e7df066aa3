"""The options of Cache: each bad value, and each bad combination, gets one clear error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from threadproof import Cache


def weigh(key: Any, value: Any) -> int:
    return 1


async def asynchronous(*given: Any) -> Any:
    return 1


GOOD: dict[str, Any] = {
    "max_size": 5,
    "max_weight": 5,
    "weigher": weigh,
    "expire_after_write": 20,
    "expire_after_access": 10,
    "expires": lambda key, value, now: now + 5,
    "jitter": 0.1,
    "refresh_after": 3,
    "loader": str,
    "cache_errors": 5,
    "on_evict": print,
    "stats": False,
    "clock": lambda: 0.0,
}

NEEDS: dict[str, set[str]] = {
    "max_weight": {"weigher"},
    "weigher": {"max_weight"},
    "jitter": {"expire_after_write", "expire_after_access", "refresh_after"},
    "clock": {"expire_after_write", "expire_after_access", "refresh_after", "expires", "cache_errors"},
}
"""Options that mean nothing without one of others."""

EXCLUDES = [
    ("max_size", "max_weight"),
    ("expires", "expire_after_write"),
    ("expires", "expire_after_access"),
]

BAD: dict[str, list[Any]] = {
    "max_size": [-1, 2**62, 1.5, "5", True],
    "max_weight": [-1, 2**62, 1.5, "5", True],
    "weigher": [5, "len", asynchronous],
    "expire_after_write": [0, -1, float("nan"), "1m", True],
    "expire_after_access": [0, -0.5, float("nan"), "1m", False],
    "expires": [5, asynchronous],
    "jitter": [-0.1, 1.1, float("nan"), None, "a", True],
    "refresh_after": [0, -1, float("nan"), [], True],
    "loader": [5, asynchronous],
    "cache_errors": [0, -1, float("nan"), {}, True],
    "on_evict": ["close", asynchronous],
    "stats": [0, 1, None, "yes"],
    "clock": [5, asynchronous, lambda: "noon", lambda: float("inf"), lambda: True],
}


def forbidden(names: set[str]) -> list[set[str]]:
    """For each rule that these options break, the options that its error names."""
    needed = [{name} for name, others in NEEDS.items() if name in names and not others & names]
    return needed + [set(pair) for pair in EXCLUDES if set(pair) <= names]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_combination_of_good_options_works_or_is_named(count: int) -> None:
    for names in map(set, combinations(GOOD, count)):
        broken, options = forbidden(names), {name: GOOD[name] for name in names}
        if broken:
            with pytest.raises(ValueError, match=r"^Cache ") as raised:
                Cache[Any, Any](**options)
            error = str(raised.value)
            assert any(all(f"{name}=" in error for name in rule) for rule in broken), (names, error)
        else:
            Cache[Any, Any](**options)[1] = 1


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, values in BAD.items() for bad in values])
def test_a_bad_value_is_named_beside_any_good_one(name: str, bad: Any) -> None:
    for other in {*GOOD} - {name}:
        with pytest.raises((TypeError, ValueError)) as raised:
            Cache[Any, Any](**{name: bad, other: GOOD[other]})
        message = str(raised.value)
        assert message.startswith("Cache ")
        assert name in message or forbidden({name, other}), message


def test_a_refresh_after_the_end_of_a_life_is_refused() -> None:
    with pytest.raises(ValueError, match=r"refresh_after < expire_after_write, got 20 and 20: no value"):
        Cache[int, int](refresh_after=20, expire_after_write=20)
    Cache[int, int](refresh_after=20, expire_after_access=10)


def fails(key: int, value: int) -> int:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("weigher", "error"),
    [(fails, ZeroDivisionError), (lambda key, value: 1.0, TypeError), (lambda key, value: -1, ValueError)],
)
def test_a_wrong_weigher_stores_nothing(weigher: Callable[[int, int], Any], error: type[Exception]) -> None:
    cache = Cache[int, int](max_weight=5, weigher=weigher)
    with pytest.raises(error):
        cache[1] = 1
    assert len(cache) == 0
    cache.check()


def test_a_weigher_that_changes_its_mind_is_asked_once_for_each_value() -> None:
    weights = iter([3, 1, 2, 5, 0, 4])
    cache = Cache[int, int](max_weight=5, weigher=lambda key, value: next(weights))
    for i in range(6):
        cache[i % 2] = i
        cache.check()
        assert cache.stats().weight <= 5


# stats=


def test_without_stats_reads_are_not_counted_and_the_policy_is_the_same() -> None:
    counted, uncounted = Cache[int, int](max_size=50), Cache[int, int](max_size=50, stats=False)
    for cache in (counted, uncounted):
        for i in range(20_000):
            cache.get_or_load(i * i % 211 % 97, str)  # type: ignore[arg-type]
    stats = uncounted.stats()
    assert (stats.hits, stats.misses, stats.half_hit_ratio, stats.double_hit_ratio) == (0, 0, -1, -1)
    assert stats.size == 50
    assert stats.loads > 0
    assert counted.stats().hits > 0 <= counted.stats().double_hit_ratio
    assert stats.bytes < counted.stats().bytes
    uncounted.resize(100)
    uncounted.update({i: i for i in range(1000)})
    uncounted.check()
