"""Waiting for a group of threads: latches, barriers, executors, conditions that are asked again."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.race.schedule import Box, Gate, reports, run


class Group:
    """The number of working threads, and a wait until it is 0."""

    def __init__(self, working: int = 0) -> None:
        self.changed = threading.Condition()
        self.working = working

    def add(self, n: int = 1) -> None:
        with self.changed:
            self.working += n
            self.changed.notify_all()

    def done(self) -> None:
        self.add(-1)

    def wait(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.working)


def no_race_group_of_one() -> None:
    group, box = Group(1), Box(v=0)

    def work() -> None:
        box.v = 1
        group.done()

    def wait() -> None:
        group.wait()
        box.v = 2

    run(work, wait)


@reports("unordered-writes")
def race_members_of_a_group() -> None:
    group, box = Group(2), Box(v=0)

    def work(value: int) -> None:
        box.v = value
        group.done()

    run(lambda: work(1), lambda: work(2), group.wait)


@reports("unordered-writes")
def race_work_after_it_is_done() -> None:
    group, box = Group(1), Box(v=0)

    def work() -> None:
        group.done()
        box.v = 1

    def wait() -> None:
        group.wait()
        box.v = 2

    run(work, wait)


def no_race_parts_of_a_group() -> None:
    group, parts = Group(3), [0] * 3

    def work(place: int) -> Callable[[], None]:
        def act() -> None:
            parts[place] += 1
            group.done()

        return act

    def wait() -> None:
        group.wait()
        assert sum(parts) == 3

    run(work(0), work(1), work(2), wait, wait)


def no_race_group_used_again() -> None:
    group, parts = Group(), [0] * 2

    def work(place: int) -> None:
        parts[place] += 1
        group.done()

    for _ in range(2):
        group.add(2)
        run(lambda: work(0), lambda: work(1))
        group.wait()
        parts[0] += 1
        parts[1] += 1
    assert parts == [4, 4]


def no_race_done_and_then_waiting() -> None:
    group, parts = Group(2), [0] * 2

    def work(place: int) -> None:
        parts[place] = 1
        group.done()
        group.wait()
        assert parts == [1, 1]

    run(lambda: work(0), lambda: work(1))


@reports("unordered-read")
def race_member_that_joins_late() -> None:
    """A wait that begins before any thread has joined waits for no thread."""
    group, box, stored = Group(), Box(v=0), Gate()

    def work() -> None:
        box.v = 1
        stored.open()

    def wait() -> object:
        group.wait()
        stored.wait()
        return box.v

    run(work, wait)
    stored.close()


# --- barriers ---


def no_race_phases_between_barriers() -> None:
    barrier, parts = threading.Barrier(2), [1, 1]

    def work(place: int) -> None:
        for _ in range(3):
            seen = parts[1 - place]
            barrier.wait()
            parts[place] += seen
            barrier.wait()

    run(lambda: work(0), lambda: work(1))


@reports("unordered-read", "read-during-update", "lost-update")
def race_phase_without_its_second_barrier() -> None:
    barrier, parts = threading.Barrier(2), [1, 1]

    def work(place: int) -> None:
        barrier.wait()
        parts[place] += parts[1 - place]

    run(lambda: work(0), lambda: work(1))


def no_race_action_of_a_barrier() -> None:
    box, parts = Box(v=0), [0, 0]

    def add_up() -> None:
        box.v = parts[0] + parts[1]

    barrier = threading.Barrier(2, action=add_up)

    def work(place: int) -> None:
        parts[place] = place + 1
        barrier.wait()
        assert box.v == 3

    run(lambda: work(0), lambda: work(1))


# --- executors ---


def no_race_wait_for_all_futures() -> None:
    parts = [0] * 3

    def work(place: int) -> None:
        parts[place] = 1

    with ThreadPoolExecutor(3) as pool:
        concurrent.futures.wait([pool.submit(work, i) for i in range(3)])
        assert parts == [1] * 3


@reports("unordered-read", "check-then-act")
def race_first_completed_is_not_all() -> None:
    box, stored, looked = Box(v=0), Gate(), Gate()

    def slow() -> None:
        box.v = 1
        stored.open()
        looked.wait()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(slow)
        concurrent.futures.wait([pool.submit(stored.wait)])
        assert box.v == 1
        looked.open()
    stored.close()
    looked.close()


def no_race_end_of_an_executor() -> None:
    box = Box(v=0)

    def work() -> None:
        box.v = 1

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
    assert box.v == 1


def no_race_initializer_of_an_executor() -> None:
    boxes: list[Box] = []

    def prepare() -> None:
        boxes.append(Box(n=0))

    def work() -> None:
        boxes[0].n += 1

    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        for _ in range(3):
            pool.submit(work)


def no_race_exception_of_a_future() -> None:
    box = Box(v=0)

    def fail() -> None:
        box.v = 1
        raise ValueError(box)

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(fail).exception()
        assert error
        assert error.args[0].v == 1


def no_race_future_that_is_asked_whether_it_is_done() -> None:
    box = Box(v=0)

    def work() -> None:
        box.v = 1

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            pass
        assert box.v == 1


def no_race_future_without_an_executor() -> None:
    promise: Future[Box] = Future()

    def keep() -> None:
        box = Box()
        box.v = 1
        promise.set_result(box)

    def use() -> None:
        assert promise.result().v == 1

    run(keep, use, use)


@reports("unordered-read")
def race_object_changed_after_it_was_the_result() -> None:
    promise: Future[Box] = Future()

    def keep() -> None:
        box = Box(v=0)
        promise.set_result(box)
        box.v = 1

    run(keep, lambda: promise.result().v)


def no_race_thread_pool_of_multiprocessing() -> None:
    def square(box: Box) -> Box:
        box.v *= box.v
        return box

    with multiprocessing.pool.ThreadPool(2) as pool:
        boxes = pool.map(square, [Box(v=i) for i in range(4)])
        assert [box.v for box in boxes] == [0, 1, 4, 9]


def no_race_callback_after_the_end() -> None:
    box, lock = Box(n=0), threading.Lock()

    def count(future: Future[int]) -> None:
        with lock:
            box.n += future.result()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(int, 1)
        concurrent.futures.wait([future])
        future.add_done_callback(count)
        future.add_done_callback(count)
    assert box.n == 2


# --- conditions, events and timers ---


@reports("unordered-read")
def race_event_that_was_cleared_and_is_not_waited_for() -> None:
    event, box, stored = threading.Event(), Box(v=0), Gate()

    def store() -> None:
        box.v = 1
        event.set()
        event.clear()
        stored.open()

    def look() -> object:
        stored.wait()
        assert not event.is_set()
        return box.v

    run(store, look)
    stored.close()


@reports("lost-update")
def race_two_who_set_an_event() -> None:
    event, box = threading.Event(), Box(n=0)

    def act() -> None:
        event.set()
        box.n += 1

    run(act, act)


@reports("unordered-read")
def race_wait_that_timed_out() -> None:
    event, box, timed_out = threading.Event(), Box(v=0), Gate()

    def store() -> None:
        box.v = 1
        timed_out.wait()
        event.set()

    def look() -> object:
        assert not event.wait(0.005)
        timed_out.open()
        return box.v

    run(store, look)
    timed_out.close()


def no_race_condition_with_a_lock_that_others_use() -> None:
    lock, box = threading.RLock(), Box(n=0)
    changed = threading.Condition(lock)

    def work() -> None:
        with lock:
            box.n += 1
            changed.notify_all()

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: box.n == 2)
        with lock:
            box.n += 1

    run(work, wait, work)


@reports("lost-update", "unordered-read", "check-then-act", "read-during-update")
def race_condition_asked_outside_its_lock() -> None:
    changed, box = threading.Condition(), Box(n=0)

    def work() -> None:
        with changed:
            box.n += 1
            changed.notify_all()

    def look() -> None:
        if box.n == 0:
            with changed:
                box.n += 1
        assert box.n

    run(work, look)


def no_race_event_set_by_a_timer() -> None:
    event, box = threading.Event(), Box(v=0)
    timer = threading.Timer(0.001, event.set)
    box.v = 1
    timer.start()

    def wait() -> None:
        event.wait()
        assert box.v == 1

    run(wait)
    timer.join()


def no_race_cancelled_timer() -> None:
    box = Box(v=0)
    timer = threading.Timer(100, lambda: setattr(box, "v", 1))
    timer.start()
    timer.cancel()
    timer.join()
    box.v = 2


def no_race_semaphore_given_several_at_once() -> None:
    permits, parts = threading.Semaphore(0), [0, 0]

    def give() -> None:
        parts[0] = parts[1] = 1
        permits.release(2)

    def take(place: int) -> None:
        permits.acquire()
        assert parts[place] == 1

    run(give, lambda: take(0), lambda: take(1))


def no_race_handover_of_a_lock() -> None:
    """Taken by one thread and released by another: a lock as a signal."""
    lock, box = threading.Lock(), Box(v=0)
    lock.acquire()

    def store() -> None:
        box.v = 1
        lock.release()

    def use() -> None:
        lock.acquire()
        assert box.v == 1

    run(store, use)


@reports("lost-update")
def race_lock_that_was_not_taken() -> None:
    lock, box, held = threading.Lock(), Box(n=0), [Gate(), Gate()]

    def hold() -> None:
        with lock:
            held[0].open()
            held[1].wait()
            box.n += 1

    def act() -> None:
        held[0].wait()
        assert not lock.acquire(blocking=False)
        held[1].open()
        box.n += 1

    run(hold, act)
    for gate in held:
        gate.close()
