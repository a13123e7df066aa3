"""Scenario: one kind of key, one size of map, a number of threads. Worker: the data of one of the threads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from threadproof.bench.keys import Distribution, make_keys


@dataclass(frozen=True)
class Scenario:
    """The circumstances in which workloads run, in turn, with every contender."""

    kind: str = "int"
    identical: bool = False  # the stored key objects; else equal ones, made by the thread that uses them
    heap: bool = False  # a key's value is the key, so its references are counted; else None
    n: int = 1_000  # keys
    operations: int = 50_000  # of each thread
    distribution: str = "uniform"
    threads: int = 1
    shuffled: bool = True  # maps are built and emptied in random order

    @property
    def threads_label(self) -> str:
        """`2 threads`."""
        return f"{self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def label(self) -> str:
        """The rest, for titles of tables."""
        origin = "identical" if self.identical else "fresh"
        return f"{self.kind} keys, {origin}, {'heap' if self.heap else 'immortal'} values, n={self.n:,}"


@dataclass(frozen=True)
class Worker:
    """The data from which a thread makes its operations: the scenario, the stored keys, its own index."""

    scenario: Scenario
    stored: Sequence[Any]
    thread: int
    threads: int

    def draw(self, distribution: Distribution, count: int, salt: int = 0) -> list[Any]:
        """The keys of `count` numbers drawn; the same for the same thread and salt."""
        seeded = random.Random(self.thread * 1_000 + salt + 1)
        return self.keys(distribution(self.scenario.n, count, self.thread, self.threads, seeded))

    def keys(self, numbers: Sequence[int]) -> list[Any]:
        """The stored keys of these numbers, or new equal ones, depending on the scenario."""
        if self.scenario.identical:
            return [self.stored[number] for number in numbers]
        return make_keys(self.scenario.kind, numbers)

    def absent(self, count: int) -> list[Any]:
        """New keys that are not in the map, different ones for each thread."""
        first = self.scenario.n + self.thread
        return make_keys(self.scenario.kind, range(first, first + count * self.threads, self.threads))

    def share(self) -> list[Any]:
        """The stored keys that this thread stores or deletes: of N threads, each has every N-th."""
        mine = list(self.stored[self.thread :: self.threads])
        return random.Random(1).sample(mine, len(mine)) if self.scenario.shuffled else mine
