"""What is controlled: each blocking step of the library, time, and our own structures, in every schedule."""

from __future__ import annotations

import _thread
import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable

import pytest

from tests.explore.programs import together
from tests.explore.structures import queue_with_sentinel
from tests.kit.hammer import PATIENCE
from threadproof import HashMap, LockedMap, SnapshotMap, SyncMap
from threadproof.explore import Exploration, always, explore
from threadproof.maps import ConflictError
from threadproof.sync import AtomicInt, Once, RWLock


def every(test: Callable[[], object], schedules: int = 200) -> Exploration:
    """The test passes in every schedule that was run."""
    found = explore(test, schedules=schedules, seconds=PATIENCE)
    assert not found.failure, found
    assert not found.diverged, found
    return found


def fails(test: Callable[[], object], kind: str, schedules: int = 200) -> Exploration:
    found = explore(test, schedules=schedules, seconds=PATIENCE)
    assert found.failure, found
    assert found.failure.kind == kind, found
    assert found.replays == 10, found
    return found


# --- the library ---


def test_a_pool() -> None:
    def test() -> None:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(pow, number, 2) for number in range(3)]
            assert [future.result() for future in futures] == [0, 1, 4]

    every(test)


def test_a_pool_that_is_not_shut_down_is_no_deadlock() -> None:
    def test() -> None:
        pool = concurrent.futures.ThreadPoolExecutor(2)
        assert pool.submit(int).result() == 0

    assert every(test).exhausted == "all"


def test_a_simple_queue_with_and_without_a_timeout() -> None:
    def test() -> None:
        items: queue.SimpleQueue[int] = queue.SimpleQueue()
        thread = threading.Thread(target=lambda: items.put(1))
        thread.start()
        assert items.get() == 1
        with pytest.raises(queue.Empty):
            items.get(timeout=1000)
        thread.join()

    every(test)


def test_a_bounded_queue_with_a_sentinel() -> None:
    assert every(queue_with_sentinel, 1_000).exhausted == "all"


def test_events_barriers_and_semaphores() -> None:
    def test() -> None:
        event, barrier, semaphore = threading.Event(), threading.Barrier(2), threading.Semaphore(1)
        inside = [0]

        def run() -> None:
            assert event.wait(1000)
            barrier.wait()
            with semaphore:
                inside[0] += 1
                assert inside[0] == 1
                inside[0] -= 1

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        event.set()
        for thread in threads:
            thread.join()

    every(test)


def test_a_bare_thread() -> None:
    def test() -> None:
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.start_new_thread(lock.release, ())
        lock.acquire()

    every(test)


def test_locals_and_names_are_those_of_new_threads() -> None:
    def test() -> None:
        values, seen = threading.local(), []

        def run() -> None:
            seen.append((hasattr(values, "x"), threading.current_thread().name))
            values.x = 1

        for _ in range(2):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert seen == [(False, "Thread-1 (run)"), (False, "Thread-2 (run)")]

    every(test)


def test_a_daemon_that_waits_for_work_is_no_deadlock() -> None:
    def test() -> None:
        work: queue.Queue[int] = queue.Queue()

        def serve() -> None:
            while True:
                work.get()

        threading.Thread(target=serve, daemon=True).start()
        work.put(1)

    every(test, 50)


# --- time ---


def test_time_passes_at_once() -> None:
    def test() -> None:
        before = time.monotonic(), time.time(), time.perf_counter_ns()
        time.sleep(3600)
        assert time.monotonic() - before[0] >= 3600
        assert time.time() - before[1] >= 3600
        assert time.perf_counter_ns() - before[2] >= 3600 * 10**9

    began = time.perf_counter()
    every(test)
    assert time.perf_counter() - began < 3600


def test_a_timeout_passes_only_when_no_thread_can_run() -> None:
    def test() -> None:
        ready = threading.Event()
        thread = threading.Thread(target=ready.set)
        thread.start()
        assert ready.wait(0.001)
        thread.join()

    every(test)
    found = explore(test, timeouts="any", seconds=PATIENCE)
    assert found.failure, found


def test_joins_conditions_and_locks_time_out() -> None:
    def test() -> None:
        held, changed = threading.Lock(), threading.Condition()
        thread = threading.Thread(target=lambda: time.sleep(5))
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        with changed:
            assert not changed.wait(1)
        held.acquire()
        assert not held.acquire(timeout=1)
        thread.join()
        assert not thread.is_alive()

    every(test)


def test_loops_that_wait_end() -> None:
    def test() -> None:
        ready = threading.Event()
        state = {"go": False}

        def poll() -> None:
            while not ready.is_set():
                time.sleep(0.01)
            while not state["go"]:
                pass

        thread = threading.Thread(target=poll)
        thread.start()
        ready.set()
        state["go"] = True
        thread.join()

    every(test, 50)


class Peterson:
    """Mutual exclusion by variables alone: a thread that has to wait reads them again and again."""

    def __init__(self) -> None:
        self.wants = [False, False]
        self.turn = 0
        self.n = 0

    def add(self, me: int) -> None:
        self.wants[me] = True
        self.turn = 1 - me
        while self.wants[1 - me] and self.turn == 1 - me:
            pass
        self.n += 1
        self.wants[me] = False


def test_of_a_lock_that_spins_all_schedules_of_two_preemptions_are_explored() -> None:
    def test() -> None:
        lock = Peterson()
        together(lambda: lock.add(0), lambda: lock.add(1))
        assert lock.n == 2

    found = explore(test, strategy="dfs", bound=2, schedules=1_000, seconds=PATIENCE)
    assert not found.failure, found
    assert found.exhausted == "preemptions <= 2", found


def test_a_loop_over_a_container_does_not_wait() -> None:
    def test() -> None:
        items, seen = [1, 2, 3, 4], []

        def scan() -> None:
            for item in items:
                if item > 3:
                    seen.append(item)  # noqa: PERF401 - each round is to be a step

        def clear() -> None:
            items[:] = []

        together(scan, clear)
        assert not seen  # fails if the whole loop is before the other thread's only step

    found = explore(test, strategy="dfs", bound=0, seconds=PATIENCE)
    assert found.failure, found
    assert found.preemptions == 0, found


# --- failures ---


def test_an_invariant_that_is_broken_for_a_moment_is_a_failure() -> None:
    class Account:
        def __init__(self) -> None:
            self.balance, self.reserved = 10, 0
            self.lock = threading.Lock()

    def test(at_once: bool) -> None:
        account = Account()

        def reserve() -> None:
            with account.lock:
                account.reserved += 6
                if account.reserved > account.balance and at_once:
                    account.reserved -= 6
            if not at_once:
                with account.lock:
                    if account.reserved > account.balance:
                        account.reserved -= 6

        always(lambda: account.lock.locked() or account.reserved <= account.balance)
        together(reserve, reserve)
        assert account.reserved == 6

    every(lambda: test(True))
    found = fails(lambda: test(False), "raised")
    assert "the invariant " in found.headline()


def test_an_invariant_outside_of_an_exploration_is_checked_once() -> None:
    always(lambda: True)
    with pytest.raises(AssertionError, match="does not hold"):
        always(lambda: False)


def test_an_exception_of_a_thread_is_a_failure() -> None:
    def test() -> None:
        def run() -> None:
            raise ValueError("no such thing")

        thread = threading.Thread(target=run, name="worker")
        thread.start()
        thread.join()

    found = fails(test, "raised")
    assert found.headline() == "ValueError: no such thing in worker"


def test_a_loop_without_end_is_a_livelock() -> None:
    def test() -> None:
        def run() -> None:
            while True:
                time.sleep(1)

        together(run)

    found = explore(test, schedules=1, steps=500, seconds=PATIENCE)
    assert found.failure
    assert found.failure.kind == "too long"


def test_a_deadlock_says_which_thread_waits_for_which() -> None:
    def test() -> None:
        one, other = threading.Lock(), threading.Lock()

        def first() -> None:
            with one, other:
                pass

        def second() -> None:
            with other, one:
                pass

        together(first, second)

    main, *threads = fails(test, "deadlock").waits()
    assert main.startswith("MainThread waits at ")
    assert main.endswith("for the end of Thread-1 (first)")
    assert threads[0].endswith("which Thread-2 (second) has")
    assert threads[1].endswith("which Thread-1 (first) has")


def test_a_lock_acquired_twice_is_a_deadlock() -> None:
    def test() -> None:
        lock = threading.Lock()
        with lock, lock:
            pass

    assert "which MainThread has" in fails(test, "deadlock").waits()[0]


# --- our own structures ---


@pytest.mark.parametrize("cls", [HashMap, SyncMap, LockedMap, SnapshotMap])
def test_two_steps_on_a_map_can_be_interleaved_and_one_cannot(cls: type[HashMap[str, int]]) -> None:
    def two_steps() -> None:
        counts = cls({"n": 0})

        def add() -> None:
            counts["n"] = counts["n"] + 1

        together(add, add)
        assert counts["n"] == 2

    def one_step() -> None:
        counts = cls({"n": 0})
        together(*[lambda: counts.merge("n", 1, int.__add__)] * 2)
        assert counts["n"] == 2

    fails(two_steps, "raised")
    every(one_step, 100)


def test_two_steps_on_an_atomic_can_be_interleaved_and_one_cannot() -> None:
    def two_steps() -> None:
        number = AtomicInt(0)
        together(*[lambda: number.store(number.load() + 1)] * 2)
        assert number.load() == 2

    def one_step() -> None:
        number = AtomicInt(0)
        together(*[lambda: number.fetch_add(1)] * 2)
        assert number.load() == 2

    fails(two_steps, "raised")
    every(one_step)


def test_a_computation_is_waited_for() -> None:
    def test() -> None:
        made: list[str] = []
        cache: HashMap[str, int] = HashMap()

        def make(key: str) -> int:
            made.append(key)
            return len(made)

        together(*[lambda: cache.compute_if_absent("key", make)] * 2)
        assert made == ["key"]

    every(test)


def test_once_runs_once() -> None:
    def test() -> None:
        runs: list[int] = []
        once: Once[None] = Once()
        together(*[lambda: once.run(lambda: runs.append(1))] * 2)
        assert runs == [1]

    every(test)


def test_readers_are_together_and_a_writer_is_alone() -> None:
    def test() -> None:
        lock, state = RWLock(), {"inside": 0, "n": 0}

        def write() -> None:
            with lock.write():
                state["inside"] += 1
                assert state["inside"] == 1
                state["inside"] -= 1

        def read() -> None:
            with lock.read():
                assert state["inside"] == 0

        together(write, read, read)

    every(test, 300)


@pytest.mark.parametrize("cls", [LockedMap, SnapshotMap])
def test_what_a_map_does_in_python_is_explored_between_its_steps(cls: type[HashMap[str, int]]) -> None:
    """An operation that reads a chain and then replaces it is one step for the others, in every schedule."""

    def test() -> None:
        counts = cls({"n": 1})
        swapped: list[bool] = []
        together(
            lambda: counts.add("n", 1),
            lambda: swapped.append(counts.compare_and_swap("n", 1, 5)),
            lambda: counts.setdefault("n", 9),
        )
        assert counts["n"] == (6 if swapped[0] else 2)

    every(test, 500)


def test_a_transaction_is_lost_if_its_key_changes_meanwhile() -> None:
    def test(retried: bool) -> None:
        counts = SnapshotMap({"n": 0})

        def add() -> None:
            while True:
                try:
                    with counts.transaction() as changes:
                        changes["n"] = changes["n"] + 1
                except ConflictError:
                    if retried:
                        continue
                return

        together(add, add)
        assert counts["n"] == 2

    every(lambda: test(True), 300)
    fails(lambda: test(False), "raised")
