"""Locks, conditions, semaphores, events and barriers."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from tests.race.schedule import Box, reports, run


def no_race_acquire_and_release() -> None:
    lock, box = threading.Lock(), Box(n=0)

    def bump() -> None:
        lock.acquire()
        try:
            box.n += 1
        finally:
            lock.release()

    run(bump, bump)


def no_race_lock_in_an_exit_stack() -> None:
    lock, box = threading.Lock(), Box(n=0)

    def bump() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            box.n += 1

    run(bump, bump)


def no_race_reentrant_lock() -> None:
    lock, box = threading.RLock(), Box(n=0)

    def bump() -> None:
        with lock, lock:
            box.n += 1

    run(bump, bump)


@reports("lost-update")
def race_two_locks() -> None:
    one, other, box = threading.Lock(), threading.Lock(), Box(n=0)

    def bump() -> None:
        with one:
            box.n += 1

    def bump_otherwise() -> None:
        with other:
            box.n += 1

    run(bump, bump_otherwise)


@reports("read-during-update")
def race_lock_on_one_side() -> None:
    lock, box = threading.Lock(), Box(n=0)

    def bump() -> None:
        with lock:
            box.n += 1

    run(bump, lambda: box.n)


@reports("double-checked-lock", "unordered-read")
def race_double_checked_lock() -> None:
    lock, box = threading.Lock(), Box(v=None)

    def get() -> object:
        if box.v is None:
            with lock:
                if box.v is None:
                    box.v = Box()
        return box.v

    run(get, get)


@reports("lost-update")
def race_that_logging_does_not_hide() -> None:
    log, box = logging.getLogger("threadproof.race.cases"), Box(n=0)
    log.addHandler(logging.NullHandler())

    def bump() -> None:
        box.n += 1
        log.warning("bumped")

    run(bump, bump)


def no_race_condition() -> None:
    changed, box = threading.Condition(), Box(n=0, ready=False)

    def produce() -> None:
        with changed:
            box.n = 1
            box.ready = True  # type: ignore[attr-defined]
            changed.notify()

    def consume() -> None:
        with changed:
            while not box.ready:  # type: ignore[attr-defined]
                changed.wait()
            assert box.n == 1

    run(produce, consume)


def no_race_condition_wait_for() -> None:
    changed, items = threading.Condition(), list[int]()

    def produce() -> None:
        for i in range(5):
            with changed:
                items.append(i)
                changed.notify()

    def consume() -> None:
        for _ in range(5):
            with changed:
                changed.wait_for(lambda: items)
                items.pop()

    run(produce, consume)


def no_race_readers_and_a_writer() -> None:
    changed, box = threading.Condition(), Box(v=0, readers=0)

    def begin_reading() -> None:
        with changed:
            box.readers += 1  # type: ignore[attr-defined]

    def end_reading() -> None:
        with changed:
            box.readers -= 1  # type: ignore[attr-defined]
            changed.notify_all()

    def read() -> None:
        for _ in range(5):
            begin_reading()
            assert box.v >= 0
            end_reading()

    def write() -> None:
        for _ in range(5):
            with changed:
                changed.wait_for(lambda: not box.readers)  # type: ignore[attr-defined]
                box.v += 1

    run(read, read, write)


def no_race_semaphore_as_a_mutex() -> None:
    permits, box = threading.Semaphore(1), Box(n=0)

    def bump() -> None:
        with permits:
            box.n += 1

    run(bump, bump)


@reports("lost-update")
def race_semaphore_of_two() -> None:
    permits, box = threading.Semaphore(2), Box(n=0)

    def bump() -> None:
        with permits:
            box.n += 1

    run(bump, bump)


def no_race_semaphore_as_a_signal() -> None:
    ready, box = threading.Semaphore(0), Box(v=0)

    def produce() -> None:
        box.v = 1
        ready.release()

    def consume() -> None:
        ready.acquire()
        assert box.v == 1

    run(produce, consume)


def no_race_ping_pong() -> None:
    ping, pong, box = threading.Semaphore(1), threading.Semaphore(0), Box(n=0)

    def player(mine: threading.Semaphore, other: threading.Semaphore) -> Callable[[], None]:
        def play() -> None:
            for _ in range(5):
                mine.acquire()
                box.n += 1
                other.release()

        return play

    run(player(ping, pong), player(pong, ping))


def no_race_bounded_semaphore() -> None:
    permits, box = threading.BoundedSemaphore(1), Box(n=0)

    def bump() -> None:
        with permits:
            box.n += 1

    run(bump, bump)


def no_race_event() -> None:
    ready, box = threading.Event(), Box(v=0)

    def produce() -> None:
        box.v = 1
        ready.set()

    def consume() -> None:
        ready.wait()
        assert box.v == 1

    run(produce, consume)


def no_race_event_that_is_polled() -> None:
    ready, box = threading.Event(), Box(v=0)

    def produce() -> None:
        box.v = 1
        ready.set()

    def consume() -> None:
        while not ready.is_set():
            pass
        assert box.v == 1

    run(produce, consume)


@reports("unordered-read")
def race_store_after_the_event() -> None:
    ready, box = threading.Event(), Box(v=0)

    def produce() -> None:
        ready.set()
        box.v = 1

    def consume() -> object:
        ready.wait()
        return box.v

    run(produce, consume)


def no_race_barrier() -> None:
    barrier, parts, sums = threading.Barrier(2), [0, 0], [0, 0]

    def worker(place: int) -> Callable[[], None]:
        def work() -> None:
            parts[place] = place + 1
            barrier.wait()
            sums[place] = parts[0] + parts[1]

        return work

    run(worker(0), worker(1))
    assert sums == [3, 3]


def no_race_what_the_programmer_declares() -> None:
    from tests.race.schedule import Gate
    from threadproof import race

    gate, box = Gate(), Box(v=0)

    def produce() -> None:
        box.v = 1
        race.release(gate)
        gate.open()

    def consume() -> None:
        gate.wait()
        race.acquire(gate)
        assert box.v == 1

    run(produce, consume)
    gate.close()
