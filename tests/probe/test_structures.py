"""threadproof's own structures publish for themselves, whenever they were imported."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.maps import HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.probe import subscribe
from threadproof.sync import AtomicFlag, AtomicInt, AtomicIntArray, AtomicReference, Once, Pool, RWLock

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)


def kinds(*wanted: str, of: object, during: Any) -> list[str]:
    """The kinds of the events of one object."""
    events: list[Any] = []
    with subscribe(scope=None, **dict.fromkeys(wanted, events.append)):
        during()
    return [event.kind for event in events if event.object is of]


def test_once_publishes_what_its_function_did_to_all_that_have_its_result() -> None:
    once = Once[int]()

    def use() -> None:
        assert not once.done
        once.run(int)
        once.run(int)
        assert once.done

    found = kinds("publishing", "observed", of=once, during=use)
    assert found == ["observed", "publishing", *["observed"] * 3]


def test_once_publishes_before_anybody_can_see_its_result() -> None:
    once = Once[int]()
    seen_done: list[bool] = []
    with subscribe(publishing=lambda event: seen_done.append(once.done)):
        once.run(int)
    assert seen_done == [False]


def test_once_publishes_a_function_that_fails() -> None:
    once = Once[int]()

    def use() -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                once.run(lambda: 1 // 0)

    assert kinds("publishing", "observed", of=once, during=use) == ["observed", "publishing"] * 2


def test_a_pool_sends_objects_from_thread_to_thread() -> None:
    pool = Pool(list[int], keep_local=1)

    def use() -> None:
        one, other = pool.get(), pool.get()
        pool.put(one)
        pool.put(other)  # the first one leaves this thread's cache
        pool.get()
        pool.get()

    assert kinds("sending", "received", of=pool, during=use) == ["sending", "received"]


def test_a_flag_says_whether_anybody_listens() -> None:
    assert not _core.probe.listening
    with subscribe(publishing=lambda event: None):
        assert _core.probe.listening
        with subscribe(acquired=lambda event: None):
            assert _core.probe.listening
    assert not _core.probe.listening


def test_a_structure_that_is_imported_while_threads_run_orders_them() -> None:
    program = (
        "import os, sys, threading\n"
        "from threadproof.race import detect\n"
        "reader, writer = os.pipe()\n"  # makes the second wait, and orders nothing
        "class Box: value = 0\n"
        "box, made = Box(), []\n"
        "def make(): box.value = 1; return box\n"
        "def first():\n"
        "    from threadproof.sync import Once\n"
        "    made.append(Once())\n"
        "    made[0].run(make)\n"
        "    os.write(writer, b'!')\n"
        "def second():\n"
        "    os.read(reader, 1)\n"
        "    made[0].run(make).value\n"
        "with detect(include=['<string>']) as detection:\n"
        "    threads = [threading.Thread(target=function) for function in (first, second)]\n"
        "    print('threadproof.sync' in sys.modules)\n"
        "    for thread in threads: thread.start()\n"
        "    for thread in threads: thread.join()\n"
        "print([found.subject for found in detection.findings if found.subject.startswith('Box')])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ran.stdout, ran.stderr) == ("False\n[]\n", "")


# --- maps ---

OF_MAPS = ("read_key", "changing_key", "computing", "computed", "read_map", "changing_map")
every_map = pytest.mark.parametrize(
    "kind", [HashMap, SyncMap, LockedMap, ShardedMap, SnapshotMap], ids=lambda kind: kind.__name__
)


def failing(*values: object) -> Any:
    raise ZeroDivisionError


# What a step publishes of the map {1: 2}, by kind and key. A map may publish an attempt more than once.
STEPS: dict[str, tuple[Any, set[tuple[str, object]]]] = {
    "[]": (lambda m: m[1], {("read_key", 1)}),
    "get": (lambda m: m.get(3, default=4), {("read_key", 3)}),
    "in": (lambda m: 3 in m, {("read_key", 3)}),
    "in keys()": (lambda m: 1 in m.keys(), {("read_key", 1)}),  # noqa: SIM118  # the view
    "[] =": (lambda m: m.__setitem__(1, 5), {("changing_key", 1)}),
    "del": (lambda m: m.__delitem__(1), {("changing_key", 1), ("read_key", 1)}),
    "pop": (lambda m: m.pop(1), {("changing_key", 1), ("read_key", 1)}),
    "swap": (lambda m: m.swap(1, 5), {("changing_key", 1), ("read_key", 1)}),
    "setdefault, there": (lambda m: m.setdefault(1, 5), {("read_key", 1)}),
    "setdefault, new": (lambda m: m.setdefault(3, 5), {("changing_key", 3), ("read_key", 3)}),
    "compare_and_swap": (lambda m: m.compare_and_swap(1, 2, 3), {("changing_key", 1), ("read_key", 1)}),
    "compare_and_swap, other": (lambda m: m.compare_and_swap(1, 7, 3), {("read_key", 1)}),
    "compare_and_delete": (lambda m: m.compare_and_delete(1, 2), {("changing_key", 1), ("read_key", 1)}),
    "add": (lambda m: m.add(1), {("changing_key", 1), ("read_key", 1)}),
    "compute": (lambda m: m.compute(1, lambda old: old), {("computing", 1), ("computed", 1)}),
    "compute, failing": (lambda m: m.compute(1, failing), {("computing", 1), ("computed", 1)}),
    "compute_if_absent": (lambda m: m.compute_if_absent(1, failing), {("read_key", 1)}),
    "compute_if_present": (lambda m: m.compute_if_present(3, failing), {("read_key", 3)}),
    "merge": (lambda m: m.merge(1, 5, max), {("computing", 1), ("computed", 1)}),
    "get_many": (lambda m: m.get_many([1, 3]), {("read_key", 1), ("read_key", 3)}),
    "set_many": (lambda m: m.set_many([1, 3], [5, 6]), {("changing_key", 1), ("changing_key", 3)}),
    "update": (lambda m: m.update({3: 4}), {("changing_key", 3)}),
    "delete_many": (lambda m: m.delete_many([1]), {("changing_key", 1), ("read_key", 1)}),
    "count_many": (lambda m: m.count_many([1, 1]), {("changing_key", 1), ("read_key", 1)}),
    "popitem": (lambda m: m.popitem(), {("changing_key", 1), ("read_key", 1)}),
    "len": (len, {("read_map", None)}),
    "snapshot": (lambda m: m.snapshot(), {("read_map", None)}),
    "copy": (lambda m: m.copy(), {("read_map", None)}),
    "==": (lambda m: m == {1: 2}, {("read_map", None)}),
    "repr": (repr, {("read_map", None)}),
    "clear": (lambda m: m.clear(), {("changing_map", None)}),
    "drain": (lambda m: m.drain(), {("changing_map", None), ("read_map", None)}),
}


def published(of: object, step: Any, *kinds: str) -> set[tuple[str, object]]:
    events: list[Any] = []
    with subscribe(scope=None, **dict.fromkeys(kinds or OF_MAPS, events.append)), suppress(ZeroDivisionError):
        step(of)
    return {(event.kind, event.key) for event in events if event.object is of}


@every_map
@pytest.mark.parametrize("name", STEPS)
def test_each_step_of_a_map_is_published(kind: Any, name: str) -> None:
    step, wanted = STEPS[name]
    assert published(kind({1: 2}), step) == wanted


@every_map
@pytest.mark.parametrize("step", [list, lambda m: list(m.items()), lambda m: list(m.values())])
def test_iteration_sees_each_key_or_the_whole_map(kind: Any, step: Any) -> None:
    found = published(kind({1: 2}), step)
    assert ("read_map", None) in found
    assert (("read_key", 1) in found) == (kind is not SnapshotMap)  # that one: as it was at the beginning


@every_map
def test_a_method_bound_before_publishes(kind: Any) -> None:
    shared = kind({1: 2})
    get = shared.get
    assert published(shared, lambda m: get(1)) == {("read_key", 1)}


def test_a_transaction_looks_at_the_map_and_changes_its_keys_at_its_end() -> None:
    def change(shared: Any) -> None:
        with shared.transaction() as changed:
            changed[1] = 5

    assert published(SnapshotMap({1: 2}), change) == {("read_map", None), ("changing_key", 1)}


# --- atomics and locks ---


@pytest.mark.parametrize(
    ("make", "step", "wanted"),
    [
        (AtomicInt, lambda a: a.load(), {("observed", 0)}),
        (AtomicInt, lambda a: a.load(order="relaxed"), set()),
        (AtomicInt, lambda a: a.store(1), {("publishing", 0)}),
        (AtomicInt, lambda a: a.fetch_add(order="acquire"), {("observed", 0)}),
        (AtomicInt, lambda a: a.update(lambda old: old + 1), {("observed", 0), ("publishing", 0)}),
        (AtomicFlag, bool, {("observed", 0)}),
        (AtomicReference, lambda a: a.exchange(1), {("observed", 0), ("publishing", 0)}),
        (lambda: AtomicIntArray(3), lambda a: a.store(-1, 5), {("publishing", 3)}),
        (lambda: AtomicIntArray(3), lambda a: a.sum(), {("observed", key) for key in (1, 2, 3)}),
    ],
)
def test_each_step_of_an_atomic_is_published(make: Any, step: Any, wanted: set[tuple[str, int]]) -> None:
    assert published(make(), step, "publishing", "observed") == wanted


def test_an_rwlock_that_cannot_be_entered_is_abandoned() -> None:
    lock, events = RWLock(), list[Any]()
    kinds = dict.fromkeys(("acquiring", "acquired", "abandoned"), events.append)
    with subscribe(scope=None, **kinds), lock.read(), pytest.raises(_core.DeadlockError), lock.write():
        pass
    found = [(event.kind, event.lock_kind) for event in events if event.object is lock]
    assert found == [
        *(("acquiring", "shared"), ("acquired", "shared")),
        *(("acquiring", "exclusive"), ("abandoned", "exclusive")),
    ]
