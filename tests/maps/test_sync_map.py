"""SyncMap's own features: read and dirty tables, promotion, tombstones, and their statistics."""

import weakref
from collections.abc import Iterable
from threading import Thread
from time import perf_counter
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.keys import Key
from threadproof import SyncMap, _core
from threadproof.maps import DELETED
from threadproof.maps.sync_map import SyncMapStats

STRESS = hasattr(_core, "stress_fail_allocations")
ORDINARY = pytest.mark.skipif(
    STRESS, reason="the stress build has parts of four keys, and no room for tombstones"
)


def settled(keys: Iterable[int]) -> SyncMap[int, int]:
    """A map whose keys are all in read tables, each with itself as value."""
    m = SyncMap(zip(keys, keys, strict=True))
    settle(m)
    return m


def settle(m: SyncMap[Any, Any]) -> None:
    while m.stats().dirty_size:
        m.get_many(list(m))


def test_an_empty_map_is_one_part_with_nothing_in_it() -> None:
    stats = SyncMap[str, int]().stats()
    assert (stats.size, stats.parts, stats.read_size, stats.dirty_size, stats.amended) == (0, 1, 0, 0, 0)
    assert (stats.misses, stats.promotions, stats.tombstones, stats.expunged) == (0, 0, 0, 0)
    assert stats.bytes > 0
    assert stats.last_promotion == stats.worst_promotion == 0


@ORDINARY
def test_in_an_ordinary_build_new_keys_are_dirty_until_they_are_missed_as_often_as_there_are() -> None:
    begun = perf_counter()
    m = SyncMap(zip(range(10), range(10), strict=True))
    assert (m.stats().dirty_size, m.stats().read_size, m.stats().amended) == (10, 0, 1)
    for key in range(9):
        assert m[key] == key
    assert (m.stats().dirty_size, m.stats().misses, m.stats().promotions) == (10, 9, 0)
    assert -1 not in m
    stats = m.stats()
    assert (stats.dirty_size, stats.read_size, stats.amended) == (0, 10, 0)
    assert (stats.misses, stats.promotions) == (10, 1)
    assert 0 < stats.last_promotion <= stats.worst_promotion < perf_counter() - begun


def test_settled_keys_are_read_overwritten_and_brought_back_with_no_miss() -> None:
    m = settled(range(3))
    before = m.stats()
    assert [m[0], m.get(1), 2 in m, m.get(3), m.get_many([0, 3])] == [0, 1, True, None, [0, None]]
    m[0] = 10
    m.swap(1, 11)
    m.add(2)
    del m[0]
    m[0] = 20
    m.compute(1, lambda old: (old or 0) + 1)
    after = m.stats()
    assert dict(m) == {0: 20, 1: 12, 2: 3}
    assert after.misses == before.misses
    if not STRESS:
        assert after.promotions == before.promotions
    assert after.read_hits >= before.read_hits + 6


def test_reads_with_a_lock_are_no_hits() -> None:
    m: Any = SyncMap(a=1, b=2)
    assert m["a"] == 1
    assert (m.stats().read_hits, m.stats().misses) == (0, 1)


@ORDINARY
def test_in_an_ordinary_build_overwriting_new_keys_counts_as_missing_them() -> None:
    m: Any = SyncMap(a=1, b=2)
    m["a"] = m["a"] + 1
    assert (m.stats().dirty_size, m.stats().read_size) == (0, 2)


@ORDINARY
def test_in_an_ordinary_build_the_cell_of_a_deleted_key_stays_and_its_value_does_not() -> None:
    m = settled(range(5))
    del m[2]
    assert (m.stats().size, m.stats().read_size, m.stats().tombstones) == (4, 5, 1)
    assert sorted(m.entries(), key=lambda entry: entry[0]) == [(0, 0), (1, 1), (2, DELETED), (3, 3), (4, 4)]
    m[2] = 2
    assert m.stats().tombstones == 0
    assert dict(m.entries()) == {n: n for n in range(5)}


@ORDINARY
def test_in_an_ordinary_build_a_promotion_expunges_what_was_deleted() -> None:
    m = settled(range(5))
    del m[2]
    m[5] = 5
    settle(m)
    assert (m.stats().tombstones, m.stats().expunged, m.stats().read_size) == (0, 1, 5)
    assert dict(m.entries()) == {0: 0, 1: 1, 3: 3, 4: 4, 5: 5}


@pytest.mark.parametrize("size", [100, 3_000])
def test_there_are_never_many_more_tombstones_than_other_keys(size: int) -> None:
    m = settled(range(size))
    for key in range(size):
        del m[key]
        stats = m.stats()
        assert stats.tombstones <= stats.size + 8 * stats.parts
        assert stats.tombstones == stats.read_size + stats.dirty_size - stats.size
    assert m.stats().expunged == size - m.stats().tombstones > 0
    m.check()


def test_tombstones_are_bounded_where_every_key_is_new_and_goes_at_once() -> None:
    m = SyncMap[int, int]()
    for key in range(5_000):
        m[key] = key
        del m[key]
    stats = m.stats()
    assert stats.tombstones <= 8 * stats.parts
    assert stats.parts < 4


def test_the_key_of_an_expunged_cell_is_released() -> None:
    m = SyncMap((Key(n), n) for n in range(40))
    settle(m)
    m.delete_many(list(m))
    assert sum(value is DELETED for _, value in m.entries()) < 8
    m.clear()
    assert list(m.entries()) == []


@ORDINARY
def test_in_an_ordinary_build_a_part_that_has_grown_too_big_splits() -> None:
    m = SyncMap(zip(range(100_000), range(100_000), strict=True))
    stats = m.stats()
    assert stats.splits == stats.parts - 1
    assert 100_000 / 256 < stats.parts < 100_000 / 64
    m.check()


def test_many_keys_of_one_hash_stay_in_one_part() -> None:
    m = SyncMap((Key(n, 7), n) for n in range(400))
    assert m.stats().bytes < 400 * 1000
    assert [m[Key(n, 7)] for n in range(400)] == list(range(400))
    m.check()


def test_clear_gives_back_parts_and_forgets_what_was_amended() -> None:
    m = SyncMap(zip(range(5_000), range(5_000), strict=True))
    before = m.stats()
    m.clear()
    after = m.stats()
    assert (after.size, after.parts, after.read_size, after.dirty_size, after.amended) == (0, 1, 0, 0, 0)
    assert after.bytes == SyncMap[int, int]().stats().bytes
    assert (after.splits, after.misses) == (before.splits, before.misses)


def test_hits_of_several_threads_are_counted() -> None:
    m = settled(range(10))
    before = m.stats().read_hits
    for _ in range(2):  # one after the other: when threads count in one place at once, some counts are lost
        hammer(lambda thread: [m[n % 10] for n in range(1_000)], 1)
    assert m.stats().read_hits - before == 2_000


def test_promotions_by_readers_and_writers_lose_nothing() -> None:
    m: Any = settled(range(100))

    def work(thread: int) -> None:
        for n in range(2_000):
            m[thread, n % 50] = n
            assert m[n % 100] == n % 100
            assert m[thread, n % 50] == n
            if n % 3 == 0:
                del m[thread, n % 50]

    hammer(work, 4)
    m.check()
    assert all(m[n] == n for n in range(100))


def test_stats_are_ready_for_json() -> None:
    stats = SyncMap(a=1).stats()
    assert isinstance(stats, SyncMapStats)
    assert stats.as_dict()["dirty_size"] == 1


def test_entries_agrees_with_the_map() -> None:
    m = SyncMap(zip(range(1_000), range(1_000), strict=True))
    assert dict(m.entries()) == dict(m)


def test_the_native_base_is_not_for_use() -> None:
    with pytest.raises(TypeError, match=r"_core\.SyncMap is a base class"):
        _core.SyncMap()  # type: ignore[abstract]


def test_a_counted_map_dies_with_its_last_reference_though_it_is_shared() -> None:
    m: Any = SyncMap.counted(a=1)
    thread = Thread(target=m.get, args=("a",))
    thread.start()
    thread.join()
    dead = weakref.ref(m)
    del thread, m
    assert dead() is None
