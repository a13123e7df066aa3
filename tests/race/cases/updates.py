"""A read and the write that depends on it: two atomic steps of a map or an atomic, which are not one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.race.schedule import Box, reports, run
from threadproof.maps import ConflictError, HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.sync import AtomicFlag, AtomicFloat, AtomicInt, AtomicIntArray, AtomicReference, RWLock

MAPS: tuple[Any, ...] = (HashMap, SyncMap, LockedMap, ShardedMap, SnapshotMap)
# Each with a way to make one, and the arguments that choose its cell.
ATOMICS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "AtomicInt": (AtomicInt, ()),
    "AtomicFloat": (AtomicFloat, ()),
    "AtomicIntArray": (lambda: AtomicIntArray(2), (1,)),
    "AtomicReference": (lambda: AtomicReference(0), ()),
}


def of_each_map(case: Callable[[Any], None]) -> None:
    """A case of this name for each map."""
    for kind in MAPS:
        add(f"{case.__name__[1:]}_of_{kind.__name__}", case, lambda case=case, kind=kind: case(kind))


def of_each_atomic(case: Callable[[Any, tuple[int, ...]], None]) -> None:
    """A case of this name for each atomic."""
    for kind, (make, at) in ATOMICS.items():
        add(f"{case.__name__[1:]}_of_{kind}", case, lambda case=case, make=make, at=at: case(make(), at))


def add(name: str, case: Any, run_case: Any) -> None:
    run_case.rules = getattr(case, "rules", ())
    globals()[name] = run_case


# --- maps: reported ---


@of_each_map
@reports("lost-update")
def _race_addition(kind: Any) -> None:
    shared = kind(n=0)

    def bump() -> None:
        for _ in range(2):
            shared["n"] += 1

    run(bump, bump)


@of_each_map
@reports("check-then-act", "lost-update")
def _race_get_then_set(kind: Any) -> None:
    shared = kind()

    def bump() -> None:
        n = shared.get("n", 0)
        shared["n"] = n + 1

    run(bump, bump)


@of_each_map
@reports("check-then-act")
def _race_missing_then_set(kind: Any) -> None:
    shared = kind()

    def fill() -> None:
        if "k" not in shared:
            shared["k"] = threading.current_thread().name

    run(fill, fill)


@of_each_map
@reports("check-then-act")
def _race_none_then_set(kind: Any) -> None:
    shared = kind()

    def fill() -> object:
        value = shared.get("k")
        if value is None:
            value = shared["k"] = object()
        return value

    run(fill, fill)


@of_each_map
@reports("lost-update", "check-then-act")
def _race_missing_key_is_an_error_then_set(kind: Any) -> None:
    shared = kind()

    def fill() -> object:
        try:
            return shared["k"]
        except KeyError:
            shared["k"] = value = object()
            return value

    run(fill, fill)


@of_each_map
@reports("check-then-act")
def _race_present_then_replaced(kind: Any) -> None:
    shared = kind(k=1)

    def replace() -> None:
        if shared.get("k"):
            shared["k"] = threading.current_thread().name

    run(replace, replace)


@of_each_map
@reports("check-then-act")
def _race_present_then_deleted(kind: Any) -> None:
    shared = kind(k=1)

    def drop() -> None:
        if "k" in shared:
            del shared["k"]

    run(drop, drop)


@of_each_map
@reports("lost-update")
def _race_two_functions_that_add(kind: Any) -> None:
    shared = kind(n=0)

    def up() -> None:
        shared["n"] += 1

    def down() -> None:
        shared["n"] = shared["n"] - 1

    run(up, down)


@of_each_map
@reports("lost-update")
def _race_add_beside_an_addition(kind: Any) -> None:
    shared = kind(n=5)

    def up() -> None:
        shared["n"] += 1

    run(up, lambda: shared.add("n"))


@of_each_map
@reports("lost-update")
def _race_addition_after_setdefault(kind: Any) -> None:
    shared = kind()

    def count() -> None:
        shared.setdefault("n", 0)
        shared["n"] += 1

    run(count, count)


@of_each_map
@reports("lost-update")
def _race_read_before_the_lock(kind: Any) -> None:
    shared, lock = kind(n=0), threading.Lock()

    def bump() -> None:
        n = shared["n"]
        with lock:
            shared["n"] = n + 1

    run(bump, bump)


@of_each_map
@reports("lost-update")
def _race_different_locks(kind: Any) -> None:
    shared = kind(n=0)

    def bump(lock: threading.Lock) -> None:
        with lock:
            shared["n"] += 1

    run(lambda: bump(threading.Lock()), lambda: bump(threading.Lock()))


@of_each_map
@reports("lost-update")
def _race_other_keys_in_between(kind: Any) -> None:
    shared = kind(n=0)

    def bump(me: str) -> None:
        n = shared["n"]
        shared[me] = n
        shared["n"] = n + 1

    run(lambda: bump("a"), lambda: bump("b"))


class Registry:
    def __init__(self, entries: Any) -> None:
        self.entries = entries

    def has(self, key: str) -> bool:
        return key in self.entries

    def put(self, key: str, value: object) -> None:
        self.entries[key] = value

    def fill(self, key: str) -> None:
        if not self.has(key):
            self.put(key, object())


@of_each_map
@reports("check-then-act")
def _race_check_and_act_in_methods(kind: Any) -> None:
    registry = Registry(kind())
    run(lambda: registry.fill("k"), lambda: registry.fill("k"))


@of_each_map
@reports("lost-update")
def _race_keys_that_are_tuples(kind: Any) -> None:
    shared = kind({("a", 1): 0})

    def bump() -> None:
        shared["a", 1] += 1

    run(bump, bump)


# --- maps: silent ---


@of_each_map
def _no_race_checked_again_by_the_same_function(kind: Any) -> None:
    shared, lock = kind(), threading.Lock()

    def there() -> bool:
        return "k" in shared

    def fill() -> None:
        if not there():
            with lock:
                if not there():
                    shared["k"] = object()

    run(fill, fill)


@of_each_map
def _no_race_atomic_steps(kind: Any) -> None:
    shared = kind(n=0)

    def work() -> None:
        for _ in range(3):
            shared.add("n")
            shared.merge("m", 1, lambda old, new: old + new)
            shared.compute("c", lambda old: (old or 0) + 1)
            shared.compute_if_absent("a", lambda key: object())
            shared.compute_if_present("c", lambda old: old + 1)
            shared.setdefault("s", 1)
            shared.swap("w", shared.get("n"))
            shared.count_many(["x", "y", "x"])

    run(work, work)
    assert shared["n"] == shared["m"] == 6


@of_each_map
def _no_race_compare_and_swap_in_a_loop(kind: Any) -> None:
    shared = kind(n=0)

    def bump() -> None:
        seen = shared["n"]
        while not shared.compare_and_swap("n", seen, seen + 1):
            seen = shared["n"]

    run(bump, bump)
    assert shared["n"] == 2


@of_each_map
def _no_race_under_one_lock(kind: Any) -> None:
    shared, lock = kind(), threading.Lock()

    def bump() -> None:
        for _ in range(3):
            with lock:
                shared["n"] = shared.get("n", 0) + 1

    run(bump, bump)
    assert shared["n"] == 6


@of_each_map
def _no_race_checked_again_under_the_lock(kind: Any) -> None:
    shared, lock = kind(), threading.Lock()

    def fill() -> None:
        if "k" not in shared:
            with lock:
                if "k" not in shared:
                    shared["k"] = object()

    run(fill, fill)


@of_each_map
def _no_race_one_writer(kind: Any) -> None:
    shared = kind(n=0)

    def write() -> None:
        for _ in range(3):
            shared["n"] += 1
            if "done" not in shared:
                shared["done"] = True

    def read() -> None:
        for _ in range(3):
            assert shared["n"] >= 0
            assert shared.get("done") in (None, True)

    run(write, read, read)


@of_each_map
def _no_race_a_key_of_its_own_for_each_thread(kind: Any) -> None:
    shared = kind()

    def count(me: str) -> None:
        for _ in range(3):
            shared[me] = shared.get(me, 0) + 1

    run(lambda: count("a"), lambda: count("b"))


@of_each_map
def _no_race_stored_by_one_and_replaced_by_another(kind: Any) -> None:
    shared = kind()

    def put() -> None:
        shared["job"] = "new"

    def work() -> None:
        while (job := shared.get("job")) is None:
            pass
        shared["job"] = f"{job}, done"

    run(put, work)
    assert shared["job"] == "new, done"


@of_each_map
def _no_race_taken_if_it_is_there(kind: Any) -> None:
    shared = kind()

    def put() -> None:
        shared["job"] = "new"

    def work() -> None:
        job = shared.get("job")
        if job is not None:
            shared["job"] = f"{job}, done"

    run(put, work)


@of_each_map
def _no_race_turns(kind: Any) -> None:
    shared, box = kind(turn="a"), Box(n=0)

    def work(me: str, other: str) -> None:
        for _ in range(3):
            while shared["turn"] != me:
                pass
            box.n += 1
            shared["turn"] = other

    run(lambda: work("a", "b"), lambda: work("b", "a"))
    assert box.n == 6


@of_each_map
def _no_race_flag_before_an_update(kind: Any) -> None:
    shared = kind(n=0)

    def first() -> None:
        shared["n"] += 1
        shared["ready"] = True

    def second() -> None:
        while not shared.get("ready"):
            pass
        shared["n"] += 1

    run(first, second)
    assert shared["n"] == 2


@of_each_map
def _no_race_stored_without_a_read(kind: Any) -> None:
    shared = kind()

    def store() -> None:
        shared["k"] = threading.current_thread().name
        assert shared["k"]

    run(store, store)


@of_each_map
def _no_race_claimed_by_a_pop(kind: Any) -> None:
    shared, claims = kind(job=1), []

    def claim() -> None:
        if "job" in shared and shared.pop("job", None) is not None:
            claims.append(1)

    run(claim, claim)
    assert claims == [1]


@of_each_map
def _no_race_updates_before_and_after_threads(kind: Any) -> None:
    shared = kind(n=0)

    def bump() -> None:
        shared["n"] += 1

    shared["n"] += 1
    run(bump)
    shared["n"] += 1
    run(bump)
    assert shared["n"] == 4


def no_race_transaction_of_a_snapshot_map() -> None:
    shared: SnapshotMap[str, int] = SnapshotMap(n=0)

    def bump() -> None:
        while True:
            try:
                with shared.transaction() as changed:
                    changed["n"] += 1
            except ConflictError:
                continue
            return

    run(bump, bump)
    assert shared["n"] == 2


def no_race_under_an_rwlock() -> None:
    shared, lock = HashMap({"n": 0}), RWLock()

    def bump() -> None:
        with lock.write():
            shared["n"] += 1

    run(bump, bump)


# --- atomics: reported ---


@of_each_atomic
@reports("lost-update", "check-then-act")
def _race_load_then_store(atomic: Any, at: tuple[int, ...]) -> None:
    def bump() -> None:
        atomic.store(*at, atomic.load(*at) + 1)

    run(bump, bump, bump)


@of_each_atomic
@reports("check-then-act", "lost-update")
def _race_load_then_first_store(atomic: Any, at: tuple[int, ...]) -> None:
    if type(atomic).__name__ == "AtomicReference":
        atomic.store(None)

    def fill() -> None:
        if not atomic.load(*at):
            atomic.store(*at, 7)

    run(fill, fill)


@reports("lost-update")
def race_relaxed_load_then_relaxed_store() -> None:
    count = AtomicInt(1)

    def bump() -> None:
        n = count.load(order="relaxed")
        count.store(n + 1, order="relaxed")

    run(bump, bump)


@reports("lost-update")
def race_fetch_add_beside_load_then_store() -> None:
    count = AtomicInt(1)

    def bump() -> None:
        count.store(count.load() + 1)

    run(bump, lambda: count.fetch_add())


@reports("check-then-act")
def race_flag_tested_then_set() -> None:
    begun, runs = AtomicFlag(), AtomicInt()

    def begin() -> None:
        if not begun:
            begun.store(True)
            runs.fetch_add()

    run(begin, begin)


# --- atomics: silent ---


@of_each_atomic
def _no_race_compare_exchange_in_a_loop(atomic: Any, at: tuple[int, ...]) -> None:
    def bump() -> None:
        while not atomic.compare_exchange(*at, seen := atomic.load(*at), seen + 1):
            pass

    run(bump, bump)
    assert atomic.load(*at) == 2


@of_each_atomic
def _no_race_update(atomic: Any, at: tuple[int, ...]) -> None:
    def bump() -> None:
        atomic.update(*at, lambda old: old + 1)
        atomic.exchange(*at, 3)

    run(bump, bump)


@of_each_atomic
def _no_race_load_then_store_under_a_lock(atomic: Any, at: tuple[int, ...]) -> None:
    lock = threading.Lock()

    def bump() -> None:
        with lock:
            atomic.store(*at, atomic.load(*at) + 1)

    run(bump, bump)
    assert atomic.load(*at) == 2


def no_race_ticket_lock() -> None:
    tickets, serving, box = AtomicInt(), AtomicInt(), Box(n=0)

    def bump() -> None:
        for _ in range(3):
            mine = tickets.fetch_add()
            while serving.load() != mine:
                pass
            box.n += 1
            serving.store(mine + 1)

    run(bump, bump)
    assert box.n == 6


def no_race_slot_that_is_full_or_empty() -> None:
    slot: AtomicReference[int | None] = AtomicReference(None)
    got = []

    def produce() -> None:
        for i in range(3):
            while slot.load() is not None:
                pass
            slot.store(i)

    def consume() -> None:
        for _ in range(3):
            while (item := slot.load()) is None:
                pass
            got.append(item)
            slot.store(None)

    run(produce, consume)
    assert got == [0, 1, 2]


def no_race_lock_that_tests_first() -> None:
    taken, box = AtomicInt(), Box(n=0)

    def bump() -> None:
        while taken.load() or not taken.compare_exchange(0, 1):
            pass
        box.n += 1
        taken.store(0)

    run(bump, bump)
    assert box.n == 2


def no_race_counted_by_one_thread() -> None:
    done = AtomicInt()

    def work() -> None:
        for _ in range(3):
            done.store(done.load() + 1)

    run(work, lambda: done.load())
