"""More planted mistakes and their correct twins: the kinds of programs.py in other clothes, and their kin."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tests.explore.programs import Test, together
from threadproof import HashMap
from threadproof.sync import AtomicInt, AtomicReference, RWLock

Twins = tuple[Test, Test]


def twins(make: Callable[[bool], None]) -> Twins:
    """The test with the mistake, and the one without."""
    return (lambda: make(True)), (lambda: make(False))


# --- lost updates ---


def item_of_a_dict(wrong: bool) -> None:
    counts, lock = {"n": 0}, threading.Lock()

    def add() -> None:
        if wrong:
            counts["n"] += 1
        else:
            with lock:
                counts["n"] += 1

    together(add, add)
    assert counts["n"] == 2


def item_of_a_list(wrong: bool) -> None:
    counts, lock = [0], threading.RLock()

    def add() -> None:
        if wrong:
            counts[0] = counts[0] + 1
        else:
            with lock:
                counts[0] = counts[0] + 1

    together(add, add)
    assert counts == [2]


def captured_variable(wrong: bool) -> None:
    count, lock = 0, threading.Lock()

    def add() -> None:
        nonlocal count
        if wrong:
            count += 1
        else:
            with lock:
                count += 1

    together(add, add)
    assert count == 2


def atomic_in_two_steps(wrong: bool) -> None:
    number = AtomicInt(0)

    def add() -> None:
        if wrong:
            number.store(number.load() + 1)
        else:
            number.fetch_add(1)

    together(add, add)
    assert number.load() == 2


def lock_of_each_thread(wrong: bool) -> None:
    counts, shared = {"n": 0}, threading.Lock()

    def add() -> None:
        with threading.Lock() if wrong else shared:
            counts["n"] += 1

    together(add, add)
    assert counts["n"] == 2


def reader_that_writes(wrong: bool) -> None:
    counts, lock = {"n": 0}, RWLock()

    def add() -> None:
        with lock.read() if wrong else lock.write():
            counts["n"] += 1

    together(add, add)
    assert counts["n"] == 2


# --- check, then act ---


def pop_if_any(wrong: bool) -> None:
    items, lock = [1], threading.Lock()

    def take() -> None:
        if wrong:
            if items:
                items.pop()
        else:
            with lock:
                if items:
                    items.pop()

    together(take, take)


class Lazy:
    def __init__(self) -> None:
        self.value: object | None = None
        self.lock = threading.Lock()

    def get(self) -> object:
        if self.value is None:
            self.value = object()
        return self.value

    def get_locked(self) -> object:
        with self.lock:
            return self.get()


def lazy_value(wrong: bool) -> None:
    lazy, got = Lazy(), []

    def use() -> None:
        got.append(lazy.get() if wrong else lazy.get_locked())

    together(use, use)
    assert got[0] is got[1]
    assert got[0] is lazy.value


def get_then_store(wrong: bool) -> None:
    made: list[int] = []
    cache: HashMap[str, int] = HashMap()

    def make(key: str) -> int:
        made.append(1)
        return 1

    def use() -> None:
        if not wrong:
            cache.compute_if_absent("key", make)
        elif cache.get("key") is None:
            cache["key"] = make("key")

    together(use, use)
    assert made == [1]


def changed_while_iterated(wrong: bool) -> None:
    names, lock = {"a": 1, "b": 2}, threading.Lock()

    def add() -> None:
        with lock:
            names["c"] = 3

    def total() -> None:
        if wrong:
            sum(value for value in names.values())
        else:
            with lock:
                sum(value for value in names.values())

    together(add, total)


def last_seat(wrong: bool) -> None:
    seats, lock, sold = {"left": 1}, threading.Lock(), []

    def buy() -> None:
        if not wrong:
            lock.acquire()
        try:
            if seats["left"] > 0:
                seats["left"] -= 1
                sold.append(1)
        finally:
            if not wrong:
                lock.release()

    together(buy, buy)
    assert sold == [1]


# --- deadlocks ---


def reentrant_locks(wrong: bool) -> None:
    one, other = threading.RLock(), threading.RLock()

    def first() -> None:
        with one, one, other:
            pass

    def second() -> None:
        with other if wrong else one, one if wrong else other:
            pass

    together(first, second)


def lock_and_join(wrong: bool) -> None:
    lock = threading.Lock()

    def work() -> None:
        with lock:
            pass

    thread = threading.Thread(target=work)
    if wrong:
        with lock:
            thread.start()
            thread.join()
    else:
        with lock:
            thread.start()
        thread.join()


def lock_and_queue(wrong: bool) -> None:
    lock, items = threading.Lock(), queue.Queue[int]()

    def produce() -> None:
        with lock:
            items.put(1)

    def consume() -> None:
        if wrong:
            with lock:
                items.get()
        else:
            items.get()

    together(produce, consume)


def readers_and_writers(wrong: bool) -> None:
    one, other = RWLock(), RWLock()

    def first() -> None:
        with one.read(), other.write():
            pass

    def second() -> None:
        with other.read() if wrong else one.read(), one.write() if wrong else other.write():
            pass

    together(first, second)


def own_pool(wrong: bool) -> None:
    with ThreadPoolExecutor(1) as pool:

        def outer() -> int:
            return pool.submit(int).result() if wrong else 0

        pool.submit(outer).result()


def one_barrier_too_few(wrong: bool) -> None:
    barrier = threading.Barrier(3 if wrong else 2)
    together(barrier.wait, barrier.wait)


def semaphore_not_given_back(wrong: bool) -> None:
    permits = threading.Semaphore(1)

    def work() -> None:
        permits.acquire()
        if not wrong:
            permits.release()

    together(work, work)


def released_only_without_error(wrong: bool) -> None:
    lock = threading.Lock()

    def fail() -> None:
        lock.acquire()
        with suppress(ValueError):
            try:
                int("x")
            finally:
                if not wrong:
                    lock.release()
            lock.release()

    def work() -> None:
        with lock:
            pass

    together(fail, work)


# --- waiting ---


def cleared_after_set(wrong: bool) -> None:
    ready = threading.Event()

    def wait() -> None:
        if wrong:
            ready.clear()
        ready.wait()

    together(wait, ready.set)


def notified_one_of_two(wrong: bool) -> None:
    changed, state = threading.Condition(), {"go": False}

    def wait() -> None:
        with changed:
            while not state["go"]:
                changed.wait()

    def go() -> None:
        with changed:
            state["go"] = True
            if wrong:
                changed.notify()
            else:
                changed.notify_all()

    together(wait, wait, go)


def timeout_of_a_condition(wrong: bool) -> None:
    changed, box = threading.Condition(), list[int]()

    def take() -> None:
        with changed:
            arrived = bool(box) or changed.wait(1)
            if wrong or arrived:
                box.pop()

    together(take)


def result_before_join(wrong: bool) -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(1))
    thread.start()
    if not wrong:
        thread.join()
    assert results == [1]
    thread.join()


# --- published too early, torn, reused ---


class Worker(threading.Thread):
    def __init__(self, early: bool) -> None:
        super().__init__()
        if early:
            self.start()
        self.name_of_job = "job"
        if not early:
            self.start()

    def run(self) -> None:
        assert self.name_of_job


def started_in_its_constructor(wrong: bool) -> None:
    Worker(early=wrong).join()


def two_attributes(wrong: bool) -> None:
    class Span:
        begin, end = 0, 1

    span, lock = Span(), threading.Lock()
    seen: list[tuple[int, int]] = []

    def move() -> None:
        with lock:
            span.begin = 10
            span.end = 11

    def look() -> None:
        if wrong:
            seen.append((span.begin, span.end))
        else:
            with lock:
                seen.append((span.begin, span.end))

    together(move, look)
    assert seen in ([(0, 1)], [(10, 11)])


def swapped_reference(wrong: bool) -> None:
    first, second = object(), object()
    current: AtomicReference[Any] = AtomicReference(first)
    taken: list[object] = []

    def take() -> None:
        seen = current.load()
        if wrong:
            current.store(second)
            taken.append(seen)
        elif current.compare_exchange(seen, second):
            taken.append(seen)

    together(take, take)
    assert taken.count(first) == 1


def full_then_put(wrong: bool) -> None:
    items: queue.Queue[int] = queue.Queue(maxsize=1)

    def put() -> None:
        if wrong:
            if not items.full():
                items.put_nowait(1)
        else:
            with suppress(queue.Full):
                items.put_nowait(1)

    together(put, put)


def size_then_get(wrong: bool) -> None:
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    items.put(1)

    def take() -> None:
        if wrong:
            if items.qsize():
                items.get()
        else:
            with suppress(queue.Empty):
                items.get_nowait()

    together(take, take)


def callback_that_locks_again(wrong: bool) -> None:
    lock, callbacks = threading.Lock(), list[Callable[[], object]]()

    def fire() -> None:
        with lock:
            called = list(callbacks)
            if wrong:
                for callback in called:
                    callback()
        if not wrong:
            for callback in called:
                callback()

    def once() -> None:
        with lock:
            callbacks.remove(once)

    callbacks.append(once)
    together(fire)


MAKERS = (
    *(item_of_a_dict, item_of_a_list, captured_variable, atomic_in_two_steps, lock_of_each_thread),
    *(reader_that_writes, pop_if_any, lazy_value, get_then_store, changed_while_iterated, last_seat),
    *(reentrant_locks, lock_and_join, lock_and_queue, readers_and_writers, own_pool, one_barrier_too_few),
    *(semaphore_not_given_back, released_only_without_error, cleared_after_set, notified_one_of_two),
    *(timeout_of_a_condition, result_before_join, started_in_its_constructor, two_attributes),
    *(swapped_reference, full_then_put, size_then_get, callback_that_locks_again),
)
VARIANTS: dict[str, Twins] = {make.__name__: twins(make) for make in MAKERS}
"""By name: a test that fails under some schedule, and one that never does."""
