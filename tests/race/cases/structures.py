"""threadproof's own maps, atomics, RWLock, Once and Pool create the promised order, and no other.

One file of more than 600 lines: one structure after the other, each with the same few cases.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from tests.race.schedule import Box, Gate, reports, run
from threadproof import race
from threadproof.maps import HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.sync import (
    AtomicFlag,
    AtomicInt,
    AtomicIntArray,
    AtomicReference,
    Lazy,
    Once,
    Pool,
    RWLock,
    once,
)

MAPS: list[Callable[[], Any]] = [HashMap, SyncMap, LockedMap, ShardedMap, SnapshotMap]


def boxed(value: object) -> Box:
    box = Box()
    box.v = value
    return box


# --- maps ---


def no_race_value_from_a_map() -> None:
    for make in MAPS:
        shared, stored = make(), Gate()

        def store() -> None:
            shared["k"] = boxed(1)  # noqa: B023
            stored.open()  # noqa: B023

        def use() -> None:
            stored.wait()  # noqa: B023
            shared["k"].v += 1  # noqa: B023
            assert shared.get("k").v == 2  # noqa: B023

        run(store, use)
        stored.close()


@reports("unordered-read")
def race_value_of_another_key() -> None:
    shared: HashMap[str, int] = HashMap()
    box, stored = Box(v=0), Gate()

    def store() -> None:
        box.v = 1
        shared["a"] = 1
        stored.open()

    def use() -> object:
        stored.wait()
        assert shared.get("b") is None
        return box.v

    run(store, use)
    stored.close()


@reports("unordered-read")
def race_value_changed_after_it_was_put_into_a_map() -> None:
    shared: HashMap[str, Box] = HashMap()
    stored = Gate()

    def store() -> None:
        box = Box(v=0)
        shared["k"] = box
        box.v = 1
        stored.open()

    def use() -> object:
        stored.wait()
        return shared["k"].v

    run(store, use)
    stored.close()


def no_race_compute_in_a_map() -> None:
    for make in MAPS:
        shared = make()

        def bump(old: Box | None) -> Box:
            box = old or boxed(0)
            box.v += 1
            return box

        def work() -> None:
            for _ in range(3):
                shared.compute("k", bump)  # noqa: B023

        run(work, work)
        assert shared["k"].v == 6


def no_race_compute_if_absent() -> None:
    shared: HashMap[str, Box] = HashMap()

    def use() -> None:
        box: Any = shared.compute_if_absent("k", lambda key: boxed([1]))
        assert box.v == [1]

    run(use, use)


def no_race_merge() -> None:
    shared: HashMap[str, Box] = HashMap()

    def join(old: Box, new: Box) -> Box:
        old.v += new.v
        return old

    run(lambda: shared.merge("k", boxed(1), join), lambda: shared.merge("k", boxed(2), join))
    assert shared["k"].v == 3


def no_race_setdefault_of_a_map() -> None:
    shared: HashMap[str, Box] = HashMap()

    def use() -> None:
        assert shared.setdefault("k", boxed(1)).v == 1

    run(use, use)


def no_race_pop_from_a_map() -> None:
    shared: HashMap[str, Box] = HashMap()
    stored = Gate()

    def store() -> None:
        shared["k"] = boxed(1)
        stored.open()

    def take() -> None:
        stored.wait()
        box = shared.pop("k")
        box.v += 1

    run(store, take)
    stored.close()


def no_race_compare_and_swap_in_a_map() -> None:
    shared: HashMap[str, Box] = HashMap()
    shared["k"] = boxed(0)

    def bump() -> None:
        while True:
            seen = shared["k"]
            if shared.compare_and_swap("k", seen, boxed(seen.v + 1)):
                return

    run(bump, bump)
    assert shared["k"].v == 2


def no_race_whole_of_a_map() -> None:
    for make in MAPS:
        shared, stored = make(), Gate()

        def store() -> None:
            for i in range(3):
                shared[i] = boxed(i)  # noqa: B023
            stored.open()  # noqa: B023

        def use() -> None:
            stored.wait()  # noqa: B023
            assert sum(box.v for box in shared.values()) == 3  # noqa: B023
            for key, box in shared.items():  # noqa: B023
                box.v += key

        run(store, use)
        stored.close()


def no_race_snapshot_of_a_map() -> None:
    shared: SnapshotMap[int, Box] = SnapshotMap()
    stored = Gate()

    def store() -> None:
        shared[1] = boxed(1)
        stored.open()

    def use() -> None:
        stored.wait()
        shared.snapshot()[1].v += 1

    run(store, use)
    stored.close()


def no_race_drain() -> None:
    shared: HashMap[int, Box] = HashMap()
    stored = Gate()

    def store() -> None:
        for i in range(3):
            shared[i] = boxed(i)
        stored.open()

    def take() -> None:
        stored.wait()
        for box in shared.drain().values():
            box.v += 1

    run(store, take)
    stored.close()


def no_race_length_of_a_map_as_a_signal() -> None:
    shared: HashMap[int, int] = HashMap()
    box = Box(v=0)

    def store() -> None:
        box.v = 1
        shared[1] = 1

    def use() -> None:
        while not len(shared):
            pass
        assert box.v == 1

    run(store, use)


def no_race_clear_of_a_map_as_a_signal() -> None:
    shared: HashMap[int, int] = HashMap({1: 1})
    box = Box(v=0)

    def clear() -> None:
        box.v = 1
        shared.clear()

    def use() -> None:
        while 1 in shared:
            pass
        assert box.v == 1

    run(clear, use)


@reports("lost-update")
def race_objects_in_a_map_are_not_guarded_by_it() -> None:
    shared: HashMap[str, Box] = HashMap({"k": Box(v=0)})

    def bump() -> None:
        shared["k"].v += 1

    run(bump, bump)


@reports("lost-update")
def race_that_the_locks_inside_a_map_do_not_hide() -> None:
    shared: LockedMap[int, int] = LockedMap()
    box = Box(n=0)

    def bump(key: int) -> None:
        box.n += 1
        shared[key] = 1

    run(lambda: bump(1), lambda: bump(2))


def no_race_keys_with_an_equality_of_their_own() -> None:
    class Key:
        def __init__(self, n: int) -> None:
            self.n = n

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key)

    shared: HashMap[Key, Box] = HashMap()
    stored = Gate()

    def store() -> None:
        shared[Key(1)] = boxed(1)
        stored.open()

    def use() -> None:
        stored.wait()
        assert shared[Key(2)].v == 1

    run(store, use)
    stored.close()


# --- atomics ---


def no_race_atomic_counter() -> None:
    count = AtomicInt()

    def bump() -> None:
        for _ in range(5):
            count.fetch_add()

    run(bump, bump)
    assert count.load() == 10


def no_race_published_by_an_atomic() -> None:
    ready, box = AtomicInt(), Box(v=0)

    def store() -> None:
        box.v = 1
        ready.store(1)

    def use() -> None:
        while not ready.load():
            pass
        assert box.v == 1

    run(store, use)


def no_race_released_and_acquired() -> None:
    ready, box = AtomicInt(), Box(v=0)

    def store() -> None:
        box.v = 1
        ready.store(1, order="release")

    def use() -> None:
        while not ready.load(order="acquire"):
            pass
        assert box.v == 1

    run(store, use)


@reports("unordered-read")
def race_published_by_a_relaxed_store() -> None:
    ready, box = AtomicInt(), Box(v=0)

    def store() -> None:
        box.v = 1
        ready.store(1, order="relaxed")

    def use() -> object:
        while not ready.load():
            pass
        return box.v

    run(store, use)


@reports("unordered-read")
def race_observed_by_a_relaxed_load() -> None:
    ready, box = AtomicInt(), Box(v=0)

    def store() -> None:
        box.v = 1
        ready.store(1)

    def use() -> object:
        while not ready.load(order="relaxed"):
            pass
        return box.v

    run(store, use)


def no_race_last_one_out_by_an_atomic() -> None:
    left, box = AtomicInt(2), [Box(n=0), Box(n=0)]

    def work(place: int) -> None:
        box[place].n = 1
        if left.fetch_sub() == 1:
            assert box[0].n + box[1].n == 2

    run(lambda: work(0), lambda: work(1))


def no_race_compare_exchange_as_a_lock() -> None:
    taken, box = AtomicInt(), Box(n=0)

    def bump() -> None:
        while not taken.compare_exchange(0, 1):
            pass
        box.n += 1
        taken.store(0)

    run(bump, bump)


@reports("lost-update")
def race_load_then_store() -> None:
    """Two steps, each of them ordered; the accesses between the two are not ordered."""
    turn, box = AtomicInt(), Box(n=0)

    def bump() -> None:
        turn.load()
        box.n += 1

    run(bump, bump)


def no_race_atomic_flag_in_a_loop() -> None:
    stop, box = AtomicFlag(), Box(v=0)

    def finish() -> None:
        box.v = 1
        stop.store(True)

    def work() -> None:
        while not stop:
            pass
        assert box.v == 1

    run(finish, work)


def no_race_atomic_reference() -> None:
    current: AtomicReference[Box | None] = AtomicReference(None)

    def store() -> None:
        current.store(boxed(1))

    def use() -> None:
        while (box := current.load()) is None:
            pass
        assert box.v == 1

    run(store, use)


def no_race_update_of_an_atomic_reference() -> None:
    current: AtomicReference[Box] = AtomicReference(boxed(0))

    def bump() -> None:
        current.update(lambda old: boxed(old.v + 1))

    run(bump, bump)
    assert current.load().v == 2


def no_race_array_of_atomics() -> None:
    ready, boxes = AtomicIntArray(2), [Box(v=0), Box(v=0)]

    def store() -> None:
        boxes[1].v = 1
        ready.store(1, 1)

    def use() -> None:
        while not ready.load(1):
            pass
        assert boxes[1].v == 1

    run(store, use)


@reports("unordered-read")
def race_another_atomic_of_the_array() -> None:
    ready, box, stored = AtomicIntArray(2), Box(v=0), Gate()

    def store() -> None:
        box.v = 1
        ready.store(1, 1)
        stored.open()

    def use() -> object:
        stored.wait()
        assert ready.load(0) == 0
        return box.v

    run(store, use)
    stored.close()


# --- RWLock ---


def no_race_readers_and_a_writer_of_an_rwlock() -> None:
    lock, box = RWLock(), Box(v=0)

    def write() -> None:
        for _ in range(3):
            with lock.write():
                box.v += 1

    def read() -> None:
        for _ in range(3):
            with lock.read():
                assert box.v >= 0

    run(read, write, read, write)


@reports("lost-update")
def race_writing_as_a_reader() -> None:
    lock, box = RWLock(), Box(n=0)

    def bump() -> None:
        with lock.read():
            box.n += 1

    run(bump, bump)


@reports("lost-update", "read-during-update")
def race_reading_without_the_rwlock() -> None:
    lock, box = RWLock(), Box(n=0)

    def bump() -> None:
        with lock.write():
            box.n += 1

    run(bump, lambda: box.n)


# --- things done once ---


def no_race_once() -> None:
    first: Once[Box] = Once("first")

    def use() -> None:
        assert first.run(lambda: boxed(1)).v == 1
        assert first.done

    run(use, use, use)


def no_race_once_that_is_seen_done() -> None:
    first: Once[None] = Once("first")
    box = Box(v=0)

    def make() -> None:
        box.v = 1

    def use() -> None:
        while not first.done:
            pass
        assert box.v == 1

    run(lambda: first.run(make), use)


def no_race_once_function_and_lazy() -> None:
    @once
    def make() -> Box:
        return boxed(1)

    lazy = Lazy(lambda: boxed(2))

    def use() -> None:
        assert make().v + lazy.get().v == 3

    run(use, use)


@reports("unordered-read")
def race_what_the_first_does_after_its_once() -> None:
    first: Once[Box] = Once("first")
    box, stored = Box(v=0), Gate()

    def use() -> None:
        first.run(lambda: box)
        box.v = 1
        stored.open()

    def look() -> object:
        stored.wait()
        return first.run(lambda: box).v

    run(use, look)
    stored.close()


# --- pools ---


def no_race_object_from_a_pool() -> None:
    pool: Pool[Box] = Pool(lambda: boxed(0), keep_local=1)

    def work() -> None:
        for _ in range(4):
            with pool.use() as one, pool.use() as other:
                one.v += 1
                other.v += 1

    run(work, work)


@reports("lost-update")
def race_object_used_after_it_was_put_back() -> None:
    pool: Pool[Box] = Pool(lambda: boxed(0), keep_local=1)
    kept: list[Box] = []
    bumped = Gate()

    def work() -> None:
        objects = [pool.get() for _ in range(3)]
        for each in objects:
            pool.put(each)
        for each in objects:
            each.v += 1
        bumped.open()

    def other() -> None:
        bumped.wait()
        box = pool.get()
        box.v += 1
        kept.append(box)

    run(work, other)
    bumped.close()


# --- what a programmer declares ---


class Spin:
    """A lock that is unknown to the detector: a pipe with one byte in it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.gate.open()

    def __enter__(self) -> None:
        import os

        os.read(self.gate.reader, 1)

    def __exit__(self, *error: object) -> None:
        self.gate.open()


def no_race_blocks_declared_to_be_in_order() -> None:
    lock, box = Spin(), Box(n=0)

    def bump() -> None:
        with lock, race.happens_before(lock):
            box.n += 1

    run(bump, bump)
    lock.gate.close()


@reports("lost-update")
def race_lock_that_nobody_declared() -> None:
    lock, box = Spin(), Box(n=0)

    def bump() -> None:
        with lock:
            box.n += 1

    run(bump, bump)
    lock.gate.close()


def no_race_block_that_raises() -> None:
    lock, box = Spin(), Box(n=0)

    def bump() -> None:
        with contextlib.suppress(ValueError), lock, race.happens_before(lock):
            box.n += 1
            raise ValueError

    run(bump, bump)
    lock.gate.close()


def no_race_declared_by_calls() -> None:
    box, done = Box(n=0), [Gate(), Gate()]

    def first() -> None:
        box.n += 1
        race.release(box)
        done[0].open()

    def second() -> None:
        done[0].wait()
        race.acquire(box)
        box.n += 1
        race.release(box)
        done[1].open()

    run(first, second)
    race.acquire(box)
    assert box.n == 2
    assert threading.active_count() >= 1
    for gate in done:
        gate.close()
