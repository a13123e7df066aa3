"""Threads draw keys by the distribution's name, and the same ones every time."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from threadproof.bench.keys import DISTRIBUTIONS, KINDS, apart, hot, latest, make_keys, sequential, zipfian

N, COUNT = 100, 50_000


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_draw_gives_as_many_numbers_as_asked_for_all_of_them_in_range(name: str) -> None:
    for thread in (0, 1):
        numbers = DISTRIBUTIONS[name](N, 1_000, thread, 2, random.Random(1))
        assert len(numbers) == 1_000
        assert all(0 <= number < N for number in numbers)
        assert numbers == DISTRIBUTIONS[name](N, 1_000, thread, 2, random.Random(1))


def test_zipfian_frequencies_are_those_of_one_over_rank_to_the_099() -> None:
    counts = [count for _, count in Counter(zipfian(N, COUNT, 0, 1, random.Random(1))).most_common(3)]
    whole = sum(rank**-0.99 for rank in range(1, N + 1))
    for rank, count in enumerate(counts, 1):
        expected = COUNT * rank**-0.99 / whole
        assert abs(count - expected) < 6 * expected**0.5


def test_zipfian_spreads_the_frequent_numbers_and_loses_none() -> None:
    assert len(set(zipfian(N, COUNT, 0, 1, random.Random(1)))) == N


def test_the_highest_number_is_the_most_frequent_of_latest() -> None:
    assert Counter(latest(N, COUNT, 0, 1, random.Random(1))).most_common(1)[0][0] == N - 1


def test_threads_that_draw_apart_have_no_number_in_common() -> None:
    first, second = (set(apart(N, 1_000, thread, 2, random.Random(1))) for thread in (0, 1))
    assert first
    assert second
    assert not first & second


def test_sequential_begins_at_each_threads_place() -> None:
    assert sequential(10, 4, 1, 2, random.Random(1)) == [5, 6, 7, 8]
    assert sequential(3, 5, 0, 1, random.Random(1)) == [0, 1, 2, 0, 1]


def test_hot_is_one_number() -> None:
    assert set(hot(N, 10, 1, 2, random.Random(1))) == {0}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_made_twice_are_equal_and_not_identical(kind: str) -> None:
    once, again = make_keys(kind, range(3)), make_keys(kind, range(3))
    assert once == again
    assert len(set(once)) == 3
    assert all(a is not b for a, b in zip(once, again, strict=True))
