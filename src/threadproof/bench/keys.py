"""Keys: how one is made from a number, and how each thread draws the numbers of its keys.

All are drawn before the clock starts. A distribution takes n, the count of numbers, the thread's index among
`threads`, and a random generator, and returns numbers from 0 to n - 1.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

KINDS: dict[str, Callable[[int], Hashable]] = {
    "int": lambda i: 10**6 + i,
    "str": lambda i: f"key:{i}",
    "tuple": lambda i: (i, i + 1),
    "float": lambda i: i + 0.5,
    "bytes": lambda i: b"key:%d" % i,
    "big int": lambda i: 2**70 + i,
}
SKEW = 0.99  # YCSB's zipfian constant
SPREAD = 2_654_435_761  # a prime above any n: multiples of it modulo n are a permutation of 0 to n - 1


def make_keys(kind: str, numbers: Iterable[int]) -> list[Any]:
    keys = [KINDS[kind](number) for number in numbers]
    for key in keys:
        hash(key)  # a str keeps its hash, so the first lookup costs no more than the others
    return keys


def uniform(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """All numbers equally often."""
    return random.choices(range(n), k=count)


def zipfian(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """Few numbers often, most seldom: the r-th with a probability proportional to 1 / r ** 0.99, exactly.

    The frequent ones are spread over all numbers, as YCSB spreads them by a hash.
    """
    return [rank * SPREAD % n for rank in ranks(n, count, random)]


def latest(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """As zipfian, but a higher number, which was stored later, is more frequent."""
    return [n - 1 - rank for rank in ranks(n, count, random)]


def sequential(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """One after the other, cyclically; each thread begins at its own place."""
    first = n * thread // threads
    return [(first + step) % n for step in range(count)]


def apart(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """Numbers that no other thread draws: of two threads, one has the even ones and one the odd ones."""
    mine = range(thread, n, threads)
    numbers = random.sample(mine, min(len(mine), max(count // 2, 1)))
    return (numbers * (count // len(numbers) + 1))[:count]


def hot(n: int, count: int, thread: int, threads: int, random: random.Random) -> list[int]:
    """Always the first number: every thread uses the same key."""
    return [0] * count


Distribution = Callable[[int, int, int, int, random.Random], list[int]]
DISTRIBUTIONS: dict[str, Distribution] = {
    draw.__name__: draw for draw in (uniform, zipfian, latest, sequential, apart, hot)
}


def ranks(n: int, count: int, random: random.Random) -> Sequence[int]:
    return random.choices(range(n), cum_weights=zipf_weights(n), k=count)


@cache
def zipf_weights(n: int) -> list[float]:
    return list(accumulate(rank**-SKEW for rank in range(1, n + 1)))
