"""Each check finds its illness, and does not find it in a healthy twin."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from tests.kit.waiting import until
from tests.watch.checks.conftest import Ward
from threadproof import Cache, HashMap, SyncMap
from threadproof.findings import Severity
from threadproof.maps import CacheStats, HashMapStats, SyncMapStats
from threadproof.stats import Stats, counter, duration, gauge
from threadproof.sync import RWLock
from threadproof.watch import CHECKS, HotKeys, Limits
from threadproof.watch.space_saving import Counted

Step = Callable[[int], object]


class SameHash:
    """A key whose hash is that of all others."""

    def __hash__(self) -> int:
        return 7


# --- real structures: a function makes the ill or the healthy one, and what happens between samples ---


def leak(ill: bool) -> tuple[Any, Step]:
    m: HashMap[int, int] = HashMap((n, n) for n in range(2000))

    def step(number: int) -> None:
        new = range(2000 + 100 * number, 2100 + 100 * number)
        m.set_many(new, new)
        if not ill:
            m.delete_many(range(100 * number, 100 * number + 100))

    return m, step


def leak_that_ends(ill: bool) -> tuple[Any, Step]:
    """A table that is filled at the start is no leak."""
    m: HashMap[int, int] = HashMap()

    def step(number: int) -> None:
        if ill or number < 8:
            first = len(m)
            m.set_many(range(first, first + 1000), range(1000))

    return m, step


def stale_keys(ill: bool) -> tuple[Any, Step]:
    m: SyncMap[int, int] = SyncMap((n, n) for n in range(2000))
    for key in m:
        assert m[key] == key  # read, so that the keys are in read tables
    return m, lambda number: m.delete_many(range(1500 if ill else 200))


def read_misses(ill: bool) -> tuple[Any, Step]:
    m: SyncMap[int, int] = SyncMap((n, n) for n in range(100))

    def step(number: int) -> None:
        for round_ in range(30):
            keys = range(100_000 * number + 100 * round_, 100_000 * number + 100 * round_ + 100)
            for key in keys if ill else range(100):
                m[key] = key
                assert m[key] == key
                m.get(-key - 1)

    return m, step


def dirty_table(ill: bool) -> tuple[Any, Step]:
    """Keys come and go all the time, or 20,000 were stored once, and nobody has read them."""
    m: SyncMap[int, int] = SyncMap((n, n) for n in range(500 if ill else 20_000))

    def step(number: int) -> None:
        for key in range(1000 * number, 1000 * number + 1000) if ill else ():
            m[key + 500] = key
            m.pop(key, None)

    return m, step


def resizes(ill: bool) -> tuple[Any, Step]:
    m: HashMap[int, int] = HashMap()

    def step(number: int) -> None:
        for _ in range(3 if ill else 0):
            m.set_many(range(5000), range(5000))
            m.delete_many(range(5000))
        if not ill and number < 8:
            m.set_many(range(2000 * number, 2000 * (number + 1)), range(2000))

    return m, step


def bad_hashes(ill: bool) -> tuple[Any, Step]:
    m: HashMap[object, int] = HashMap()
    for number in range(100):
        m[SameHash() if ill else str(number)] = number
    return m, lambda number: None


def falling_hit_ratio(ill: bool) -> tuple[Any, Step]:
    """The program begins to use ten times as many keys as before."""
    cache: Cache[int, int] = Cache(max_size=500, loader=lambda key: key)

    def step(number: int) -> None:
        for key in range(5000 if ill and number >= 10 else 400):
            cache.get_or_load(key)

    return cache, step


def thrashing(ill: bool) -> tuple[Any, Step]:
    cache: Cache[int, int] = Cache(max_size=100 if ill else 1000, loader=lambda key: key)

    def step(number: int) -> None:
        for key in range(500):
            cache.get_or_load(key)

    return cache, step


def load_failures(ill: bool) -> tuple[Any, Step]:
    def load(key: int) -> int:
        if key % 4 == 0 and (ill or key == 0):
            raise OSError
        return key

    cache: Cache[int, int] = Cache(max_size=1000, loader=load)

    def step(number: int) -> None:
        for key in range(20 * number, 20 * number + 20):
            with suppress(OSError):
                cache.get_or_load(key)

    return cache, step


def failing_refreshes(ill: bool) -> tuple[Any, Step]:
    """Values are loaded once, and then cannot be loaded again in the background; readers see the old ones."""
    now, over = 0.0, False

    def load(key: int) -> int:
        if over and ill:
            raise OSError
        return key

    cache: Cache[int, int] = Cache(max_size=100, loader=load, refresh_after=1, clock=lambda: now)

    def ended() -> int:
        stats = cache.stats()
        return stats.loads + stats.load_failures

    keys = itertools.cycle(range(20))

    def read_next() -> None:
        nonlocal now
        now += 10
        key = next(keys)
        assert cache.get_or_load(key) == key

    def caught_up(wanted: int) -> bool:
        """Read once more if not: a load is counted a moment before its key is free for the next one."""
        if ended() >= wanted:
            return True
        read_next()
        return False

    def step(number: int) -> None:
        nonlocal over
        wanted = ended() + 20
        for _ in range(20):
            read_next()
        over = True
        until(lambda: caught_up(wanted))

    return cache, step


def callbacks(ill: bool) -> tuple[Any, Step]:
    def close(key: int, value: int, cause: str) -> None:
        if ill:
            raise OSError

    cache: Cache[int, int] = Cache(max_size=10, on_evict=close)
    return cache, lambda number: cache.update((key, key) for key in range(10 * number, 10 * number + 10))


def keys_of_one_hash(ill: bool) -> tuple[Any, Step]:
    cache: Cache[object, int] = Cache(max_size=1000)
    for number in range(100):
        cache[SameHash() if ill else str(number)] = number
    return cache, lambda number: None


OURS = [
    ("hit-ratio", falling_hit_ratio),
    ("thrashing", thrashing),
    ("load-failures", load_failures),
    ("load-failures", failing_refreshes),
    ("callbacks", callbacks),
    ("bad-hashes", keys_of_one_hash),
    ("leak", leak),
    ("leak", leak_that_ends),
    ("stale-keys", stale_keys),
    ("read-misses", read_misses),
    ("dirty-table", dirty_table),
    ("resizes", resizes),
    ("bad-hashes", bad_hashes),
]


@pytest.mark.parametrize(("check", "make"), OURS, ids=lambda each: getattr(each, "__name__", each))
def test_an_illness_is_found_and_a_healthy_twin_is_not(
    check: str, make: Callable[[bool], tuple[Any, Step]], ward: Ward
) -> None:
    ill, make_ill = make(True)
    well, live = make(False)
    ward.registry.add(ill, "ill")
    ward.registry.add(well, "well")
    seen = ward.watch(24, lambda number: (make_ill(number), live(number)))
    assert f"{check} ill" in seen
    assert not {each for each in seen if each.endswith(" well")}


# --- records of others: the values of a sample, by its number ---


@dataclass(frozen=True, slots=True)
class AnyStats(Stats):
    """The metrics that checks read, those of caches and remote maps among them."""

    size: int = field(default=5000, metadata=gauge("keys", "keys"))
    imbalance: float = field(default=1.0, metadata=gauge("ratio", "imbalance"))
    waiting: int = field(default=0, metadata=gauge("threads", "waiting threads"))
    contended: int = field(default=0, metadata=counter("waits", "waits"))
    promotions: int = field(default=0, metadata=counter("promotions", "promotions"))
    last_promotion: float = field(default=0.0, metadata=duration("the last one"))
    worst_promotion: float = field(default=0.0, metadata=duration("the worst one"))
    retired_bytes: int = field(default=0, metadata=gauge("bytes", "retired memory"))
    known_threads: int = field(default=1, metadata=gauge("threads", "threads"))
    hits: int = field(default=0, metadata=counter("reads", "hits"))
    misses: int = field(default=0, metadata=counter("reads", "misses"))
    evictions: int = field(default=0, metadata=counter("entries", "evictions"))
    loads: int = field(default=0, metadata=counter("loads", "loads"))
    load_failures: int = field(default=0, metadata=counter("loads", "failures"))
    staleness: float = field(default=0.0, metadata=duration("behind"))
    listener_failures: int = field(default=0, metadata=counter("calls", "failures"))
    computing: int = field(default=0, metadata=gauge("computations", "computations"))
    oldest_computation: float = field(default=0.0, metadata=duration("the oldest"))


class Told:
    """A structure whose stats are given."""

    def __init__(self) -> None:
        self.told = AnyStats()

    def stats(self) -> AnyStats:
        return self.told


Values = dict[str, float]
TOLD: list[tuple[str, Callable[[int], Values], Callable[[int], Values]]] = [
    ("stripes", lambda n: {"imbalance": 5.0}, lambda n: {"imbalance": 1.3}),
    ("waiting", lambda n: {"waiting": n % 2}, lambda n: {"waiting": 0}),
    ("contended", lambda n: {"contended": 20_000 * n}, lambda n: {"contended": 100 * n}),
    (
        "promotion-pauses",
        lambda n: {"promotions": n, "last_promotion": 0.2 * (n == 5), "worst_promotion": 0.2 * (n >= 5)},
        lambda n: {"promotions": 7, "last_promotion": 0.2, "worst_promotion": 0.2},  # long ago
    ),
    (
        "retired-memory",
        lambda n: {"retired_bytes": 100 * 2**20},
        lambda n: {"retired_bytes": 100 * 2**20 * (n % 3 == 0)},
    ),
    (
        "hit-ratio",
        lambda n: {"hits": 900 * min(n, 10), "misses": 100 * n + 900 * max(0, n - 10)},
        lambda n: {"hits": 600 * n, "misses": 400 * n},
    ),
    (
        "thrashing",
        lambda n: {"hits": 50 * n, "misses": 950 * n, "evictions": 940 * n},
        lambda n: {"hits": 50 * n, "misses": 950 * n, "evictions": 40 * n},
    ),
    (
        "load-failures",
        lambda n: {"loads": 80 * n, "load_failures": 20 * n},
        lambda n: {"loads": 80 * n, "load_failures": 1},
    ),
    ("staleness", lambda n: {"staleness": 8.0}, lambda n: {"staleness": 0.2}),
    ("callbacks", lambda n: {"listener_failures": n // 3}, lambda n: {"listener_failures": 100}),
    (
        "long-computation",
        lambda n: {"computing": 1, "oldest_computation": 10.0 * n},
        lambda n: {"computing": 3, "oldest_computation": 0.5},
    ),
]


@pytest.mark.parametrize(("check", "ill", "well"), TOLD, ids=[each[0] for each in TOLD])
def test_values_that_show_an_illness_are_found(
    check: str,
    ill: Callable[[int], Values],
    well: Callable[[int], Values],
    ward: Ward,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 4)
    bad, good = ward.registry.add(Told(), "bad"), ward.registry.add(Told(), "good")

    def step(number: int) -> None:
        bad.told, good.told = AnyStats(**ill(number)), AnyStats(**well(number))  # type: ignore[arg-type]

    seen = ward.watch(20, step)
    assert seen & {f"{check} bad"}
    assert not {each for each in seen if each.endswith(" good")}


def test_a_hot_key_is_found_in_a_sampling_session(ward: Ward) -> None:
    hot, even = ward.registry.add(HashMap[int, int](), "hot"), ward.registry.add(HashMap[int, int](), "even")
    ward.engine.evaluate()
    ward.engine.add_hot_keys(hot, HotKeys(1000, [Counted("a", 600, 0)], 1.0))
    ward.engine.add_hot_keys(even, HotKeys(1000, [Counted("a", 600, 590)], 1.0))
    assert ward.watch(1, lambda number: None) == {"hot-key hot"}


def test_every_check_has_a_case_here() -> None:
    assert {check.name for check in CHECKS} == {
        "hot-key",
        *(each[0] for each in OURS),
        *(each[0] for each in TOLD),
    }


def test_the_records_here_have_every_field_that_a_check_reads() -> None:
    known = {each.name for each in fields(AnyStats)} | {
        each.name for record in (CacheStats, HashMapStats, SyncMapStats) for each in record.metrics()
    }
    assert {name for check in CHECKS for name in check.needs} <= known


# --- limits ---


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_limits_of_a_check_are_in_order(check: Any) -> None:
    limits: Limits = check.limits
    assert 0 < limits.warn < limits.critical
    assert 0 < limits.clear < 1
    assert limits.samples >= 1
    assert bool(check.least) == bool(limits.least)
    assert "{structure}" in check.message


def test_a_bounded_structure_that_is_being_filled_is_no_leak(ward: Ward) -> None:
    filling = ward.registry.add(Cache[int, int](((n, n) for n in range(5000)), max_size=100_000), "filling")

    def step(number: int) -> None:
        new = range(5000 + 1000 * number, 6000 + 1000 * number)
        filling.set_many(new, new)

    assert not ward.watch(20, step)


def test_the_worst_is_an_error(ward: Ward) -> None:
    told = ward.registry.add(Told(), "remote")
    told.told = AnyStats(staleness=100.0)
    ward.watch(3, lambda number: None)
    (finding,) = ward.engine.findings
    assert finding.severity is Severity.ERROR


def test_a_reader_that_waits_is_seen_by_a_real_lock(ward: Ward) -> None:
    lock = ward.registry.add(RWLock(), "lock")
    with lock.write():
        threads = [threading.Thread(target=lambda: lock.read().__enter__(), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        while lock.stats().waiting < 2:
            threads[0].join(0.001)
        assert ward.watch(8, lambda number: None) == {"waiting lock"}
    for thread in threads:
        thread.join(PATIENCE)
