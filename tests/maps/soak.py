"""Use one map from many threads in every way at once, for minutes, and check every result.

    python -m tests.maps.soak --map HashMap --minutes 10 --threads 4 --seed 42
    python -m tests.maps.soak --map ShortCache  # a Cache that evicts and expires all the time

Every value proves which key it belongs to, so that the value of another key, or of none, is noticed at
once. Keys are of all kinds; some are hostile, and use the map, raise, or collect garbage when they are
compared. The map grows a hundredfold and shrinks repeatedly. The exit code is 0 if every check passed.
"""

import argparse
import operator
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, NoReturn

from tests.kit.hammer import dump_stacks, hammer, pause, seeded
from tests.kit.hostile import Boom, HostileKey, Trap, collect, fail, tolerant
from tests.kit.memory import MEGABYTE, resident
from tests.maps.conftest import MAPS
from threadproof import REMOVE, Cache, ConcurrentMap, DeadlockError

Map = ConcurrentMap[Any, Any]

KEYS = 200  # that all threads share
BURST = 5_000  # keys that come and go at once
SPAN = 10_000  # a value is the number of its key, plus any multiple of this
WHOLE = 500  # operations on one key for each on the whole map
HOSTILE = 30  # operations for each in which a hostile key acts
REPORT = 5.0  # seconds from line to line
STUCK = 60.0  # seconds without an operation after which a thread is said to hang
FAULTS = (KeyError, Boom, DeadlockError)  # what an operation may raise here
LEAK = 100 * MEGABYTE  # more growth than that, once the threads are warm, is a leak


class TinyCache(Cache[Any, Any]):
    """A Cache with room for few of the keys, by weight; some are pinned for a while."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(max_weight=300, weigher=weigh)


class ShortCache(Cache[Any, Any]):
    """A Cache that evicts and expires all the time, with a listener."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(
            max_size=100, expire_after_write=2e-3, expire_after_access=1e-3, jitter=0.5, on_evict=prove_gone
        )


class Wrong(AssertionError):
    """The map returned a value that was never stored."""


def key_of(number: int, trap: Trap) -> Any:
    """A new key for the number, of a kind that depends on the number."""
    kinds: tuple[Callable[[int], Any], ...] = (int, str, float, lambda n: (n, str(n)), lambda n: n << 70)
    return HostileKey(number, number % 7, "eq", trap) if number % 6 == 5 else kinds[number % 6](number)


def number_of(key: Any) -> int:
    """The number that a key was made for."""
    if isinstance(key, HostileKey):
        return key.number
    number = int(key[0] if isinstance(key, tuple) else key)
    return number >> 70 or number


def prove(key: Any, value: Any) -> None:
    """Assert that the value belongs to the key; a bool proves nothing."""
    if value is not None and not isinstance(value, bool) and (value - number_of(key)) % SPAN:
        raise Wrong(f"{key!r} had the value {value!r}")


def weigh(key: Any, value: Any) -> int:
    return int(value // SPAN % 5)


def prove_gone(key: Any, value: Any, cause: str) -> None:
    prove(key, value)


def boom(*given: Any) -> NoReturn:
    raise Boom


def swap_neighbour(m: Map, value: int) -> int:
    """Write another key from inside a computation. Neighbours are so in pairs, so this can be a deadlock."""
    neighbour = (value + 6) % 12
    m.swap(neighbour, neighbour)
    return value


ON_A_KEY: list[Callable[[Map, Any, int], object]] = [
    lambda m, key, value: m[key],
    lambda m, key, value: m.get(key),
    lambda m, key, value: m.get_many([key])[0],
    lambda m, key, value: key in m,
    lambda m, key, value: m.__setitem__(key, value),
    lambda m, key, value: m.__delitem__(key),
    lambda m, key, value: m.pop(key),
    lambda m, key, value: m.setdefault(key, value),
    lambda m, key, value: m.swap(key, value),
    lambda m, key, value: m.update({key: value}),
    lambda m, key, value: m.set_many([key], [value]),
    lambda m, key, value: m.delete_many([key]) > 0,
    lambda m, key, value: m.compare_and_swap(key, m.get(key), value),
    lambda m, key, value: m.compare_and_delete(key, m.get(key)),
    lambda m, key, value: m.add(key, SPAN, value),
    lambda m, key, value: m.count_many([0], SPAN),
    lambda m, key, value: m.compute(key, lambda old: value if old is None else old + SPAN),
    lambda m, key, value: m.compute(key, lambda old: m.get(key, value)),
    lambda m, key, value: m.compute(key, boom),
    lambda m, key, value: m.compute(key, lambda old: swap_neighbour(m, value)),
    lambda m, key, value: m.compute_if_absent(key, lambda key: value),
    lambda m, key, value: m.compute_if_present(key, lambda old: old + SPAN),
    lambda m, key, value: m.compute_if_present(key, lambda old: REMOVE),
    lambda m, key, value: m.merge(key, value, lambda old, new: old + SPAN),
    lambda m, key, value: m.merge(key, value, lambda old, new: REMOVE),
]
"""Each does something at a key, maybe with a value that is right for it, and returns its old or new value."""


def iterate(m: Map) -> Iterable[tuple[Any, Any]]:
    seen = list(m.items())
    if len(dict(seen)) < len(seen):
        raise Wrong("an iteration gave a key twice")
    return seen


def burst(m: Map) -> Iterable[tuple[Any, Any]]:
    keys = range(SPAN, SPAN + BURST)
    m.set_many(keys, keys)
    values = m.get_many(keys)
    m.delete_many(keys)
    return zip(keys, values, strict=True)


ON_THE_MAP: list[Callable[[Map], Iterable[tuple[Any, Any]] | None]] = [
    iterate,
    burst,
    lambda m: m.snapshot().items(),
    lambda m: m.copy().items(),
    lambda m: m.drain().items(),
    lambda m: m.clear(),
    lambda m: [m.popitem()],
    lambda m: None if len(m) >= 0 else [],
]
"""Each does something to the whole map, and returns entries that it had."""


class Worker:
    """One thread's share: random operations, each checked."""

    def __init__(self, target: Map, random: Random) -> None:
        self.target = target
        self.random = random
        self.trap = Trap()
        self.acts = [pause, fail, self.on_a_key, self.on_the_map, collect]
        self.done = 0

    def work(self, until: float) -> None:
        while time.monotonic() < until:
            if self.random.randrange(HOSTILE) == 0:
                self.trap.arm(self.random.choice(self.acts))
            self.on_the_map() if self.random.randrange(WHOLE) == 0 else self.on_a_key()
            self.done += 1

    def on_a_key(self) -> None:
        number = self.random.randrange(KEYS)
        key, value = key_of(number, self.trap), number + SPAN * self.random.randrange(9)
        with suppress(*FAULTS):
            prove(key, self.random.choice(ON_A_KEY)(self.target, key, value))

    def on_the_map(self) -> None:
        with suppress(*FAULTS):
            for key, value in self.random.choice(ON_THE_MAP)(self.target) or ():
                prove(key, value)


def watch(workers: list[Worker], until: float) -> None:
    """Print the workers' progress, and end the process if one makes none. Memory must not grow."""
    start, sizes = time.monotonic(), []
    before, since = [0 for _ in workers], start
    while (now := time.monotonic()) < until:
        time.sleep(min(REPORT, until - now))
        done = [worker.done for worker in workers]
        sizes.append(resident())
        rate = sum(done) / (time.monotonic() - start)
        print(f"{sum(done):,} operations, {rate:,.0f} a second, {sizes[-1] // MEGABYTE} MB", flush=True)
        if all(map(operator.lt, before, done)):
            before, since = done, time.monotonic()
        elif time.monotonic() - since > STUCK:
            dump_stacks()
            os._exit(3)
    # There are none if the threads took all the time to start.
    if sizes and sizes[-1] - sizes[len(sizes) // 3] > LEAK:
        raise Wrong("memory grows and grows")


def soak(target: Map, minutes: float, threads: int, random: Random) -> int:
    """How many operations were done, all of them right."""
    until = time.monotonic() + 60 * minutes
    workers = [Worker(target, Random(random.random())) for _ in range(threads)]
    tasks = [partial(worker.work, until) for worker in workers] + [partial(watch, workers, until)]
    hammer(lambda index: tasks[index](), len(tasks), deadline=60 * minutes + 2 * STUCK)
    for key, value in iterate(target):
        prove(key, value)
    target.check()  # type: ignore[attr-defined]
    return sum(worker.done for worker in workers)


def main() -> None:
    """The command in this module's heading."""
    kinds: list[type[Map]] = [*MAPS, TinyCache, ShortCache]
    maps = {each.__name__: each for each in kinds}
    parser = argparse.ArgumentParser("python -m tests.maps.soak", description="See the module's heading.")
    parser.add_argument("--map", choices=maps, default="HashMap")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    random = seeded(options.seed)
    sys.unraisablehook = tolerant(sys.unraisablehook)
    done = soak(maps[options.map](), options.minutes, options.threads, random)
    print(f"ok: {options.map}, {done:,} operations")


if __name__ == "__main__":
    main()
