"""Queues: the steps before a put() are ordered before the get() of that item, and nothing else is ordered."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

from tests.race.schedule import Box, Gate, reports, run


def no_race_item_of_its_own_sender() -> None:
    line: queue.Queue[Box] = queue.Queue()
    taken = threading.Lock()

    def produce() -> None:
        for i in range(3):
            box = Box()
            box.v = i
            line.put(box)

    def consume() -> None:
        for _ in range(3):
            with taken:
                box = line.get()
            box.v += 1

    run(produce, produce, consume, consume)


@reports("unordered-read")
def race_item_of_another_sender() -> None:
    """The received item is another thread's, and does not order the thread that stored."""
    line: queue.Queue[str] = queue.Queue()
    box, stored = Box(v=0), Gate()
    line.put("before")

    def store() -> None:
        box.v = 1
        line.put("stored")
        stored.open()

    def consume() -> object:
        stored.wait()
        assert line.get() == "before"
        return box.v

    run(store, consume)
    stored.close()


@reports("unordered-read")
def race_last_in_first_out_of_two_senders() -> None:
    line: queue.LifoQueue[str] = queue.LifoQueue()
    box, stored, put = Box(v=0), Gate(), Gate()

    def store() -> None:
        box.v = 1
        line.put("first")
        stored.open()

    def put_above() -> None:
        stored.wait()
        line.put("second")
        put.open()

    def consume() -> object:
        put.wait()
        assert line.get() == "second"
        return box.v

    run(store, put_above, consume)
    stored.close()
    put.close()


def no_race_last_in_first_out() -> None:
    line: queue.LifoQueue[Box] = queue.LifoQueue()

    def produce() -> None:
        for i in range(4):
            box = Box()
            box.v = i
            line.put(box)

    def consume() -> None:
        for _ in range(4):
            line.get().v += 1

    run(produce, consume)


@reports("unordered-read")
def race_simple_queue_of_two_senders() -> None:
    line: queue.SimpleQueue[str] = queue.SimpleQueue()
    box, stored = Box(v=0), Gate()
    line.put("before")

    def store() -> None:
        box.v = 1
        line.put("stored")
        stored.open()

    def consume() -> object:
        stored.wait()
        assert line.get() == "before"
        return box.v

    run(store, consume)
    stored.close()


def no_race_one_item_put_by_many() -> None:
    """Two threads put the same None: after two get()s the receiver is ordered after both."""
    line: queue.Queue[None] = queue.Queue()
    one, other = Box(v=0), Box(v=0)

    def first() -> None:
        one.v = 1
        line.put(None)

    def second() -> None:
        other.v = 1
        line.put(None)

    def consume() -> int:
        line.get()
        line.get()
        return int(one.v + other.v)

    run(first, second, consume)


def no_race_queue_of_one_as_a_lock() -> None:
    line: queue.Queue[str] = queue.Queue(1)
    box = Box(n=0)

    def bump() -> None:
        for _ in range(5):
            line.put("mine")
            box.n += 1
            line.get()

    run(bump, bump)


@reports("lost-update")
def race_queue_of_two_as_a_lock() -> None:
    line: queue.Queue[str] = queue.Queue()
    box = Box(n=0)

    def bump() -> None:
        line.put("mine")
        box.n += 1
        line.get()

    run(bump, bump)


def no_race_room_that_a_get_made() -> None:
    line: queue.Queue[int] = queue.Queue(1)
    box = Box(v=0)
    line.put(0)

    def take() -> None:
        box.v = 1
        line.get()

    def fill() -> None:
        line.put(1)
        assert box.v == 1

    run(take, fill)


def no_race_put_that_was_refused_and_tried_again() -> None:
    line: queue.Queue[Box] = queue.Queue(1)
    box, full = Box(v=0), Gate()
    line.put(Box(v=None))

    def produce() -> None:
        with contextlib.suppress(queue.Full):
            line.put_nowait(box)
        full.open()
        box.v = 1
        line.put(box)

    def consume() -> None:
        full.wait()
        line.get()
        assert line.get().v == 1

    run(produce, consume)
    full.close()


@reports("unordered-read")
def race_put_that_was_refused() -> None:
    line: queue.Queue[Box] = queue.Queue(1)
    box, full = Box(v=0), Gate()
    first = Box(v=None)
    line.put(first)

    def produce() -> None:
        box.v = 1
        with contextlib.suppress(queue.Full):
            line.put(box, timeout=0.001)
        full.open()

    def consume() -> object:
        full.wait()
        assert line.get() is first
        return box.v

    run(produce, consume)
    full.close()


def no_race_shutdown_of_a_queue() -> None:
    line: queue.Queue[int] = queue.Queue()
    box = Box(v=0)
    shutdown: Any = line.shutdown  # type: ignore[attr-defined, unused-ignore]

    def stop() -> None:
        box.v = 1
        shutdown()

    def consume() -> None:
        try:
            line.get()
        except Exception:
            assert box.v == 1

    run(stop, consume)


@reports("lost-update")
def race_empty_queue_tells_nothing() -> None:
    line: queue.Queue[int] = queue.Queue()
    box = Box(n=0)

    def bump() -> None:
        assert line.empty()
        box.n += 1
        assert line.qsize() == 0

    run(bump, bump)


def no_race_task_done_of_all_workers() -> None:
    line: queue.Queue[int] = queue.Queue()
    boxes = [Box(n=0) for _ in range(4)]

    def work() -> None:
        while (i := line.get()) >= 0:
            boxes[i].n += 1
            line.task_done()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for i in range(4):
        line.put(i)
    for worker in workers:
        worker.start()
    line.join()
    assert [box.n for box in boxes] == [1] * 4
    for _ in workers:
        line.put(-1)
    for worker in workers:
        worker.join()


@reports("lost-update")
def race_work_after_task_done() -> None:
    line: queue.Queue[int] = queue.Queue()
    box, bumped = Box(n=0), Gate()

    def work() -> None:
        line.get()
        line.task_done()
        box.n += 1
        bumped.open()

    worker = threading.Thread(target=work)
    worker.start()
    line.put(1)
    line.join()
    bumped.wait()
    box.n += 1
    worker.join()
    bumped.close()


def no_race_priority_queue_of_many_senders() -> None:
    line: queue.PriorityQueue[tuple[int, int, Box]] = queue.PriorityQueue()

    def produce(place: int) -> None:
        for i in range(3):
            box = Box()
            box.v = i
            line.put((i, place, box))

    def consume() -> None:
        for _ in range(6):
            line.get()[2].v += 1

    run(lambda: produce(0), lambda: produce(1), consume)


def no_race_answer_through_a_queue_in_the_request() -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def serve() -> None:
        for _ in range(3):
            box, answer = requests.get()
            box.v += 1
            answer.put(box)

    def ask() -> None:
        for i in range(3):
            answer: queue.SimpleQueue[Box] = queue.SimpleQueue()
            requests.put((Box(v=i), answer))
            got = answer.get()
            got.v += 1
            assert got.v == i + 2

    run(serve, ask)


def no_race_pipeline_of_three_stages() -> None:
    first: queue.Queue[Any] = queue.Queue(2)
    second: queue.Queue[Any] = queue.Queue(2)

    def produce() -> None:
        for i in range(5):
            box = Box()
            box.v = [i]
            first.put(box)
        first.put(None)

    def transform() -> None:
        while (box := first.get()) is not None:
            box.v.append(box.v[0] * 2)
            second.put(box)
        second.put(None)

    def consume() -> None:
        while (box := second.get()) is not None:
            box.v[1] += 1

    run(produce, transform, consume)


@reports("unordered-read", "read-during-update", "lost-update")
def race_list_changed_after_it_was_put() -> None:
    line: queue.Queue[list[int]] = queue.Queue()

    def produce() -> None:
        numbers = [0]
        line.put(numbers)
        numbers[0] += 1

    def consume() -> int:
        return line.get()[0]

    run(produce, consume)
