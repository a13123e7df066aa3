"""Small programs for each structure that has a part in Python, and three classics.

Each asserts a promise of the structure, which holds in every schedule.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from tests.explore.programs import together
from threadproof import Cache, HashMap, LockedMap, SnapshotMap
from threadproof.maps.snapshots import ConflictError
from threadproof.sync import Lazy, Once, Pool, RWLock

Test = Callable[[], None]


class Colliding(str):
    """Keys of one hash, and so of one chain."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    __eq__ = str.__eq__


# --- maps ---


def add_and_swap(cls: type[HashMap[str, int]]) -> Test:
    def test() -> None:
        counts = cls({"n": 1})
        swapped: list[bool] = []
        together(
            lambda: counts.add("n", 1),
            lambda: swapped.append(counts.compare_and_swap("n", 1, 5)),
        )
        assert counts["n"] == (6 if swapped[0] else 2)

    return test


def computed_once(cls: type[HashMap[str, int]]) -> Test:
    """Of two computations at one key, the second waits and gets the value of the first."""

    def test() -> None:
        made: list[int] = []
        got: list[int] = []

        def make(key: str) -> int:
            made.append(1)
            return len(made)

        values = cls()
        together(*[lambda: got.append(values.compute_if_absent("n", make))] * 2)
        assert (made, got, values["n"]) == ([1], [1, 1], 1)

    return test


def merged(cls: type[HashMap[str, int]]) -> Test:
    """A merge() and a pop(): the sum of what is popped and what is left is what was put in."""

    def test() -> None:
        values = cls({"n": 1})
        popped: list[int] = []
        together(
            lambda: values.merge("n", 2, lambda one, other: one + other),
            lambda: popped.append(values.pop("n")),
        )
        assert popped[0] + values.get("n", 0) == 3

    return test


def chain_of_two_keys() -> None:
    """Two keys of one hash: what one thread does to the one is not undone by the other's."""
    one, other = Colliding("one"), Colliding("other")
    values: SnapshotMap[str, int] = SnapshotMap({one: 0})

    def change() -> None:
        values[other] = 1
        del values[other]

    together(change, lambda: values.add(one, 1))
    assert values.to_dict() == {one: 1}


def snapshot_of_a_transaction() -> None:
    """A snapshot has all changes of a transaction or none; a conflict changes nothing."""
    accounts = SnapshotMap({"one": 1, "other": 0})

    def transfer() -> None:
        while True:
            try:
                with accounts.transaction() as changes:
                    changes["one"] = changes["one"] - 1
                    changes["other"] = changes["other"] + 1
            except ConflictError:
                continue
            return

    def audit() -> None:
        accounts.add("one", 1)
        assert sum(accounts.snapshot().values()) == 2

    together(transfer, audit)
    assert accounts.to_dict() == {"one": 1, "other": 1}


# --- Cache ---


def loaded_once() -> None:
    loads: list[str] = []

    def load(key: str) -> int:
        loads.append(key)
        return len(loads)

    cache: Cache[str, int] = Cache(loader=load)
    got: list[int] = []
    together(*[lambda: got.append(cache.get_or_load("key"))] * 2)
    assert (loads, got) == (["key"], [1, 1])


def failed_load_is_tried_again() -> None:
    loads: list[str] = []

    def load(key: str) -> int:
        loads.append(key)
        if len(loads) == 1:
            raise ValueError(key)
        return len(loads)

    cache: Cache[str, int] = Cache(loader=load)
    got: list[int | None] = []

    def read() -> None:
        try:
            got.append(cache.get_or_load("key"))
        except ValueError:
            got.append(None)

    together(read, read)
    assert got in ([None, None], [None, 2], [2, None])
    assert cache.get("key") == (None if got == [None, None] else 2)


def invalidated_while_loading() -> None:
    """A value that was read before invalidate() is never in the cache afterwards."""
    source = {"key": 1}

    def load(key: str) -> int:
        return source[key]

    cache: Cache[str, int] = Cache(loader=load)

    def change() -> None:
        source["key"] = 2
        cache.invalidate("key")

    together(lambda: cache.get_or_load("key"), change)
    assert cache.get("key", 2) == 2


def bounded() -> None:
    cache: Cache[int, int] = Cache(max_size=1)
    together(lambda: cache.setdefault(1, 1), lambda: cache.setdefault(2, 2))
    assert len(cache) == 1


# --- Once, Pool, RWLock ---


def run_once() -> None:
    made: list[int] = []
    once: Once[int] = Once()

    def make() -> int:
        made.append(1)
        return len(made)

    got: list[int] = []
    together(*[lambda: got.append(once.run(make))] * 2)
    assert (made, got) == ([1], [1, 1])


def run_again_after_an_error() -> None:
    """An error is for those that wait for it; the next run tries again."""
    runs: list[int] = []
    once: Once[int] = Once()

    def make() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError
        return len(runs)

    got: list[int | None] = []

    def run() -> None:
        try:
            got.append(once.run(make))
        except ValueError:
            got.append(None)

    together(run, run)
    assert got in ([None, None], [None, 2], [2, None])
    assert once.run(make) == 2


def lazy() -> None:
    value = Lazy(list[int])
    got: list[list[int]] = []
    together(*[lambda: got.append(value.get())] * 2)
    assert got[0] is got[1]


def pooled() -> None:
    """No two threads have one object at one time, also where full caches go from thread to thread."""
    pool = Pool(lambda: [0], keep_local=2)
    for each in [pool.get() for _ in range(5)]:  # two full caches, and one object that stays here
        pool.put(each)

    def use() -> None:
        mine = [pool.get(), pool.get(), pool.get()]
        for each in mine:
            assert each[0] == 0
            each[0] = 1
        for each in mine:
            each[0] = 0
            pool.put(each)

    together(use, use)


# --- classics ---


def queue_with_sentinel() -> None:
    items: queue.Queue[int | None] = queue.Queue(1)
    got: list[int] = []

    def produce() -> None:
        items.put(1)
        items.put(2)
        items.put(None)

    def consume() -> None:
        while (item := items.get()) is not None:
            got.append(item)

    together(produce, consume)
    assert got == [1, 2]


class Peterson:
    """Peterson's lock for two threads; memory is sequentially consistent here."""

    def __init__(self) -> None:
        self.wants = [False, False]
        self.turn = 0

    def acquire(self, me: int) -> None:
        self.wants[me] = True
        self.turn = 1 - me
        while self.wants[1 - me] and self.turn != me:
            pass

    def release(self, me: int) -> None:
        self.wants[me] = False


def peterson() -> None:
    lock, state = Peterson(), {"n": 0}

    def add(me: int) -> None:
        lock.acquire(me)
        state["n"] = state["n"] + 1
        lock.release(me)

    together(lambda: add(0), lambda: add(1))
    assert state["n"] == 2


def readers_and_a_writer() -> None:
    """Readers under a count and two locks: the first takes the writer's lock, and the last gives it back."""
    guard, room = threading.Lock(), threading.Lock()
    state = {"readers": 0, "one": 0, "other": 0}

    def read() -> None:
        with guard:
            state["readers"] += 1
            if state["readers"] == 1:
                room.acquire()
        assert state["one"] == state["other"]
        with guard:
            state["readers"] -= 1
            if state["readers"] == 0:
                room.release()

    def write() -> None:
        with room:
            state["one"] += 1
            state["other"] += 1

    together(read, read, write)


def rw_lock() -> None:
    lock = RWLock()
    state = {"one": 0, "other": 0}

    def write() -> None:
        with lock.write():
            state["one"] += 1
            state["other"] += 1

    def read() -> None:
        with lock.read():
            assert state["one"] == state["other"]

    together(write, read, read)


MAPS: dict[str, type[HashMap[str, int]]] = {
    "LockedMap": LockedMap,  # type: ignore[dict-item]  # they share a contract, and no base of its own
    "SnapshotMap": SnapshotMap,  # type: ignore[dict-item]
    "Cache": Cache,  # type: ignore[dict-item]
}
STRUCTURES: dict[str, Test] = {
    **{f"{name}: add and swap": add_and_swap(cls) for name, cls in MAPS.items()},
    **{f"{name}: computed once": computed_once(cls) for name, cls in MAPS.items()},
    **{f"{name}: merge and pop": merged(cls) for name, cls in MAPS.items()},
    "chain of two keys": chain_of_two_keys,
    "SnapshotMap: a snapshot of a transaction": snapshot_of_a_transaction,
    "Cache: loaded once": loaded_once,
    "Cache: a failed load": failed_load_is_tried_again,
    "Cache: invalidated while loading": invalidated_while_loading,
    "Cache: bounded": bounded,
    "Once": run_once,
    "Once: an error": run_again_after_an_error,
    "Lazy": lazy,
    "Pool": pooled,
    "RWLock": rw_lock,
    "a queue with a sentinel": queue_with_sentinel,
    "Peterson's lock": peterson,
    "readers and a writer": readers_and_a_writer,
}
