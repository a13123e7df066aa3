"""The keys of a run: how one is made from a number, and the lists that workloads loop over.

A list is made by the thread that will loop over it, so that this thread owns the keys made for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol

KINDS: dict[str, Callable[[int], Hashable]] = {
    "int": lambda i: 10**6 + i,
    "str": lambda i: f"key:{i}",
    "tuple": lambda i: (i, i + 1),
    "float": lambda i: i + 0.5,
    "bytes": lambda i: b"key:%d" % i,
    "big int": lambda i: 2**70 + i,
}


class Source(Protocol):
    """What the lists need to know of a scene."""

    @property
    def kind(self) -> str: ...
    @property
    def identical(self) -> bool: ...
    @property
    def n(self) -> int: ...
    @property
    def operations(self) -> int: ...
    @property
    def shuffled(self) -> bool: ...


def make_keys(kind: str, numbers: Iterable[int]) -> list[Any]:
    keys = [KINDS[kind](number) for number in numbers]
    for key in keys:
        hash(key)  # a str keeps its hash: the first look-up should cost no more than the others
    return keys


def pick(source: Source, stored: list[Any], numbers: list[int]) -> list[Any]:
    """Give the stored keys of these numbers, or equal ones just made."""
    return [stored[number] for number in numbers] if source.identical else make_keys(source.kind, numbers)


def uniform(source: Source, stored: list[Any], thread: int) -> list[Any]:
    """Any key, all equally often."""
    draw = random.Random(thread + 1).randrange
    return pick(source, stored, [draw(source.n) for _ in range(source.operations)])


def zipf(source: Source, stored: list[Any], thread: int) -> list[Any]:
    """Few keys often, most seldom."""
    draw = random.Random(thread + 1).paretovariate
    return pick(source, stored, [min(source.n, int(draw(0.9))) - 1 for _ in range(source.operations)])


def own(source: Source, stored: list[Any], thread: int) -> list[Any]:
    """Keys that no other thread has: one thread takes the even numbers, another the odd ones."""
    mine, wanted = range(thread, source.n, 2), source.operations
    numbers = random.Random(thread + 9).sample(mine, min(len(mine), wanted // 2))
    return pick(source, stored, (numbers * (wanted // len(numbers) + 1))[:wanted])


def nineteen_to_one(source: Source, stored: list[Any], thread: int) -> list[tuple[list[Any], Any]]:
    """Nineteen keys to read and then an own one to write, and so on."""
    return groups(19, uniform(source, stored, thread), own(source, stored, thread))


def one_to_one(source: Source, stored: list[Any], thread: int) -> list[tuple[list[Any], Any]]:
    """A key to read and then an own one to write, and so on."""
    return groups(1, uniform(source, stored, thread), own(source, stored, thread))


def groups(size: int, reads: list[Any], writes: list[Any]) -> list[tuple[list[Any], Any]]:
    count = len(reads) // (size + 1)
    return [(reads[i * size : (i + 1) * size], writes[i]) for i in range(count)]


def absent(source: Source, stored: list[Any], thread: int) -> list[Any]:
    """Keys not in the map, others for each thread; half as many as operations, for each is used twice."""
    return make_keys(source.kind, (source.n + 2 * i + thread for i in range(source.operations // 2)))


def every(source: Source, stored: list[Any], thread: int) -> list[Any]:
    """Every stored key once."""
    return random.Random(1).sample(stored, len(stored)) if source.shuffled else list(stored)
