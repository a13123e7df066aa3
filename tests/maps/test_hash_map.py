"""HashMap's promises beyond the contract: size, statistics, lifetime, forks and exit."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import weakref
from statistics import median
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.maps.keys import Runs
from threadproof import _core
from threadproof.maps import ConcurrentMap, HashMap, LockedMap, SyncMap

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


def in_a_process(code: str) -> str:
    """Run code in an interpreter of its own, which must exit with 0; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


class Plain:
    """An object that can be weakly referenced."""


def finish_shrinking(m: HashMap[int, Any]) -> None:
    """Write until the table has its least size: only writes move buckets, in the stress build one each."""
    for step in range(100_000):
        m[-5] = step
        del m[-5]
        if step % 256 == 0 and not m.stats().resizing and m.stats().buckets <= 32:
            return


# Size and statistics


def test_reserve_makes_room_so_that_filling_does_not_resize() -> None:
    m = HashMap[int, int]()
    m.reserve(10_000)
    before = m.stats()
    m.update((i, i) for i in range(10_000))
    assert (m.stats().resizes, m.stats().buckets) == (before.resizes, before.buckets)
    assert m.stats().capacity >= 10_000
    m.check()


def test_room_that_was_reserved_survives_deletions_but_not_clear() -> None:
    m = HashMap[int, int]()
    m.reserve(10_000)
    m.update((i, i) for i in range(10_000))
    buckets = m.stats().buckets
    m.delete_many(range(10_000))
    assert m.stats().buckets == buckets
    m.clear()
    assert m.stats().buckets < buckets


@pytest.mark.parametrize("count", ["many", 1.5, None])
def test_reserve_wants_a_whole_number(count: Any) -> None:
    with pytest.raises(TypeError, match="integer"):
        HashMap[int, int]().reserve(count)


def test_reserve_refuses_less_than_nothing_and_more_than_there_is() -> None:
    m = HashMap[int, int]({1: 1})
    with pytest.raises(ValueError, match="-1"):
        m.reserve(-1)
    with pytest.raises(MemoryError):
        m.reserve(1 << 50)
    assert m == {1: 1}
    m.check()


def test_a_table_grows_with_its_keys_and_gives_the_memory_back() -> None:
    m = HashMap[int, int]()
    empty = m.stats()
    m.update((i, i) for i in range(100_000))
    full = m.stats()
    assert full.size == 100_000
    assert full.buckets * 5 >= 100_000 > full.buckets
    assert full.bytes > 100_000 * 24
    for i in range(100_000):
        del m[i]
    finish_shrinking(m)
    m.check()
    assert m.stats().bytes < full.bytes / 100
    assert empty.resizes == 0 < full.resizes < m.stats().resizes


def test_stats_are_a_record_ready_for_json() -> None:
    stats = HashMap(a=1).stats()
    assert stats.as_dict()["size"] == 1
    assert stats.as_dict()["capacity"] == stats.capacity >= 1
    with pytest.raises(AttributeError):
        stats.size = 2  # type: ignore[misc]


def test_keys_of_equal_hash_show_in_the_longest_chain() -> None:
    m = HashMap[int, int]()
    same = [i * sys.hash_info.modulus for i in range(1, 101)]  # all hash to 0
    m.update((key, key) for key in same)
    assert m.stats().longest_chain >= 20
    assert all(m[key] == key for key in same)
    m.check()


def test_crafted_ints_do_not_pile_up() -> None:
    crafted = dict.fromkeys(i << 20 for i in range(10_000))  # alike in the low bits that a mask looks at
    maps = [HashMap[int, None](crafted) for _ in range(9)]
    assert median(m.stats().longest_chain for m in maps) <= 4  # each has a secret, which may be bad for these


def test_dense_ints_need_no_overflow_bucket() -> None:
    m = HashMap[int, int]()
    m.update((i, i) for i in range(100_000))
    assert m.stats().overflow_buckets == 0


# Names and documentation


def test_the_native_methods_carry_the_contracts_words() -> None:
    for name in ("get", "compute", "drain", "set_many"):
        assert inspect.getdoc(getattr(HashMap, name)) == inspect.getdoc(getattr(ConcurrentMap, name))


# The lifetime of a map


def test_a_map_that_one_thread_uses_dies_with_its_last_reference() -> None:
    value = Plain()
    watch = weakref.ref(value)
    m: HashMap[int, Plain] = HashMap({1: value})
    del value, m
    assert watch() is None


def used_by_another_thread(m: HashMap[int, Plain]) -> None:
    hammer(lambda _: m.get(1), 1)


def test_a_shared_map_dies_at_a_collection() -> None:
    value = Plain()
    watch = weakref.ref(value)
    m: HashMap[int, Plain] = HashMap({1: value})
    used_by_another_thread(m)
    del value, m
    gc.collect()
    assert watch() is None


def test_a_counted_map_dies_with_its_last_reference_though_it_is_shared() -> None:
    value = Plain()
    watch = weakref.ref(value)
    m: HashMap[int, Plain] = HashMap.counted({1: value})
    used_by_another_thread(m)
    del value, m
    assert watch() is None


def test_maps_nested_by_the_hundred_thousand_die_without_deep_recursion() -> None:
    m = HashMap[int, Any]()
    for _ in range(100_000):
        m = HashMap({0: m})
    del m
    gc.collect()


def test_a_removed_key_is_released_by_a_collection_at_the_latest() -> None:
    m: HashMap[bytes, int] = HashMap()
    key = b"%d bytes of my own" % id(m)
    used_by_another_thread(m)  # type: ignore[arg-type]
    before = sys.getrefcount(key)
    m[key] = 1
    del m[key]
    gc.collect()
    assert sys.getrefcount(key) == before


# Forks, and the end of the process


def test_the_interpreter_ends_well_with_live_maps_and_daemon_threads_in_them() -> None:
    in_a_process(
        """
        import threading
        from threadproof import HashMap
        m = HashMap()
        m["myself"] = m
        iterator = iter(m)
        started = threading.Barrier(4)
        def work(n):
            started.wait()
            while True:
                for i in range(1000):
                    m[n, i] = i
                m.delete_many([(n, i) for i in range(1000)])
        for n in range(3):
            threading.Thread(target=work, args=(n,), daemon=True).start()
        started.wait()
        """
    )


def test_threads_come_and_go() -> None:
    m = HashMap[int, int]()
    for number in range(200):
        thread = threading.Thread(target=m.__setitem__, args=(number, number))
        thread.start()
        thread.join()
    assert m == {i: i for i in range(200)}


def test_a_subinterpreter_is_refused_with_the_way_out() -> None:
    interpreters = pytest.importorskip(
        "concurrent.interpreters", reason="this Python has no concurrent.interpreters"
    )
    other = interpreters.create()
    try:
        with pytest.raises(interpreters.ExecutionFailed, match=r"subinterpreters|main interpreter"):
            other.exec("from threadproof import HashMap")
    finally:
        other.close()


@pytest.mark.skipif(not FREE_THREADED, reason="with a GIL there is nothing to keep off")
def test_using_every_part_leaves_the_gil_off() -> None:
    m: HashMap[str, int] = HashMap(a=1)
    m.compute("a", lambda old: old + 1, 0)
    m.snapshot()
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined,unused-ignore]


# Former defects


def test_threads_that_reserve_at_once_all_get_their_room() -> None:
    for _ in range(100):
        m = HashMap[int, int]()
        hammer(lambda thread, m=m: m.reserve(1000 << thread), 2)  # type: ignore[misc]
        assert m.stats().capacity >= 2000
        m.check()


def test_keys_that_are_computed_grow_the_table_and_popitem_shrinks_it() -> None:
    m = HashMap[int, int]()
    for i in range(10_000):
        m.compute(i, lambda old: 1, 0)
    assert m.stats().longest_chain <= 3
    full = m.stats().buckets
    assert full * 5 >= 10_000
    for _ in range(10_000):
        m.popitem()
    finish_shrinking(m)
    assert m.stats().buckets < full / 16
    m.check()


def test_after_a_comparison_has_raised_get_many_asks_no_other() -> None:
    class Angry:
        asked = 0

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            Angry.asked += 1
            raise ValueError("not again")

    m: HashMap[Any, int] = HashMap({Angry(): 1})
    with pytest.raises(ValueError, match="not again"):
        m.get_many([Angry(), 2, Angry(), Angry()])
    assert Angry.asked == 1


MANY = ["get_many", "set_many", "delete_many", "count_many"]
NATIVE = pytest.mark.parametrize("make", [HashMap, LockedMap, SyncMap])


def read(
    make: type[HashMap[Any, int] | LockedMap[Any, int] | SyncMap[Any, int]], operation: str, keys: list[Any]
) -> set[Any]:
    """Expect that a list of 1,000 keys becomes too short; return what the map has then."""
    m = make(dict.fromkeys(range(1000), 1) if operation == "delete_many" else ())
    values = [[2] * len(keys)] if operation == "set_many" else []
    with pytest.raises(RuntimeError, match="the list had 1000 items at first, and has "):
        getattr(m, operation)(keys, *values)
    m.check()
    return set(m)


@NATIVE
@pytest.mark.parametrize("operation", MANY)
def test_a_list_that_becomes_shorter_while_it_is_read_raises(make: Any, operation: str) -> None:
    keys: list[Any] = []
    keys += [Runs(lambda: keys.__delitem__(slice(1, None))), *range(999)]
    assert 998 not in read(make, operation, keys) or operation == "delete_many"


@NATIVE
@pytest.mark.parametrize("operation", MANY)
def test_of_a_list_that_has_become_too_short_no_key_is_used_that_it_may_have_lost(
    make: Any, operation: str
) -> None:
    keys: list[Any] = []
    keys += [f"early {i}" for i in range(255)] + [Runs(lambda: keys.__delitem__(slice(262, None)))]
    keys += [f"late {i}" for i in range(5)] + [Runs(keys.clear)] + list(range(738))
    assert not [key for key in read(make, operation, keys) if str(key).startswith("late")]


def test_the_native_base_is_not_for_use() -> None:
    with pytest.raises(TypeError, match=r"use threadproof\.HashMap"):
        _core.HashMap()  # type: ignore[abstract]


def test_a_reservation_that_is_forgotten_has_ended() -> None:
    reservation = _core.Reservation("key")
    assert _core.Reservation.held()
    del reservation
    assert not _core.Reservation.held()
