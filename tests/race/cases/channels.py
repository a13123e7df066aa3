"""Queues used as channels: handing over, closing, room as a permit, and waiting for one of several."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from tests.race.schedule import Box, Gate, reports, run

CLOSED = object()


def first_of(*lines: queue.Queue[Any]) -> tuple[queue.Queue[Any], Any]:
    """Wait for the first item of several queues, by asking each in turn."""
    while True:
        for line in lines:
            try:
                return line, line.get(timeout=0.001)
            except queue.Empty:
                continue


def no_race_value_sent_before_it_is_used() -> None:
    line: queue.Queue[int] = queue.Queue(1)
    box = Box(v=0)

    def send() -> None:
        box.v = 1
        line.put(0)

    def receive() -> None:
        line.get()
        box.v = 2

    run(send, receive)


@reports("unordered-writes")
def race_store_after_sending() -> None:
    line: queue.Queue[int] = queue.Queue(10)
    box = Box(v=0)

    def send() -> None:
        line.put(0)
        box.v = 1

    def receive() -> None:
        box.v = 2
        line.get()

    run(send, receive)


def no_race_closed_by_a_last_item() -> None:
    line: queue.SimpleQueue[object] = queue.SimpleQueue()
    box = Box(v=0)

    def send() -> None:
        box.v = 1
        line.put(CLOSED)

    def receive() -> None:
        while line.get() is not CLOSED:
            pass
        box.v = 2

    run(send, receive)


def no_race_closed_for_several_receivers() -> None:
    line: queue.SimpleQueue[object] = queue.SimpleQueue()
    box = Box(v=0)

    def send() -> None:
        box.v = 1
        for _ in range(2):
            line.put(CLOSED)

    def receive() -> None:
        assert line.get() is CLOSED
        assert box.v == 1

    run(send, receive, receive)


def no_race_closed_and_passed_on() -> None:
    """Each receiver puts the last item back for the next one."""
    line: queue.SimpleQueue[object] = queue.SimpleQueue()
    box = Box(v=0)

    def send() -> None:
        box.v = 1
        line.put(CLOSED)

    def receive() -> None:
        line.put(line.get())
        assert box.v == 1

    run(send, receive, receive)


@reports("unordered-writes")
def race_two_who_close() -> None:
    line: queue.SimpleQueue[object] = queue.SimpleQueue()
    box = Box(v=0)

    def close() -> None:
        box.v = threading.get_ident()
        line.put(CLOSED)

    run(close, close)


@reports("unordered-writes")
def race_sent_to_a_channel_with_much_room() -> None:
    """A put that does not wait is not ordered after the receiver."""
    line: queue.Queue[int] = queue.Queue()
    box = Box(v=0)

    def take() -> None:
        box.v = 1
        line.get()

    def send() -> None:
        line.put(0)
        box.v = 2

    run(take, send)


@reports("unordered-writes")
def race_size_as_a_signal_that_it_was_sent() -> None:
    line: queue.Queue[int] = queue.Queue()
    box = Box(v=0)

    def send() -> None:
        box.v = 1
        line.put(1)

    def look() -> None:
        while line.qsize() == 0:
            pass
        box.v = 2

    run(send, look)


@reports("unordered-writes")
def race_emptiness_as_a_signal_that_it_was_received() -> None:
    line: queue.SimpleQueue[int] = queue.SimpleQueue()
    box = Box(v=0)
    line.put(1)

    def take() -> None:
        box.v = 1
        line.get()

    def look() -> None:
        while not line.empty():
            pass
        box.v = 2

    run(take, look)


@reports("unordered-writes")
def race_failed_put_is_no_permit() -> None:
    line: queue.Queue[int] = queue.Queue(1)
    box = Box(v=0)

    def put_or_store(value: int) -> None:
        with contextlib.suppress(queue.Full):
            line.put_nowait(1)
        box.v = value

    run(lambda: put_or_store(1), lambda: put_or_store(2))


@reports("unordered-writes", "lost-update")
def race_answer_of_the_wrong_sender() -> None:
    line: queue.Queue[int] = queue.Queue()
    boxes = {1: Box(v=0), 2: Box(v=0)}

    def send(name: int) -> None:
        boxes[name].v = name
        line.put(name)

    def receive() -> None:
        other = 3 - line.get()
        boxes[other].v = 0

    run(lambda: send(1), lambda: send(2), receive)


def no_race_answer_of_the_right_sender() -> None:
    line: queue.Queue[int] = queue.Queue()
    boxes = {1000: Box(v=0), 2000: Box(v=0)}

    def send(name: int) -> None:
        boxes[name].v = name
        line.put(int(str(name)))  # an item of its own, whichever number it is

    def receive() -> None:
        boxes[line.get()].v = 0

    run(lambda: send(1000), lambda: send(2000), receive, receive)


def no_race_task_with_its_own_answer() -> None:
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    box = Box(v=0)

    def serve() -> None:
        function, done = tasks.get()
        function()
        done.put(None)

    def ask() -> None:
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        tasks.put((lambda: setattr(box, "v", 1), done))
        done.get()
        assert box.v == 1

    run(serve, ask)


@reports("unordered-read")
def race_queue_replaced_while_it_is_used() -> None:
    box = Box(v=queue.SimpleQueue())
    run(lambda: box.v.put(1), lambda: setattr(box, "v", queue.SimpleQueue()))


def no_race_room_as_a_latch() -> None:
    """Each worker removes its item at its end; a thread that fills the queue has waited for all workers."""
    room: queue.Queue[int] = queue.Queue(3)
    parts = [0] * 3
    for _ in parts:
        room.put(1)

    def work(place: int) -> Callable[[], None]:
        def act() -> None:
            parts[place] = 42
            room.get()

        return act

    def wait() -> None:
        for _ in parts:
            room.put(2)
        assert parts == [42] * 3

    run(work(0), work(1), work(2), wait)


def no_race_sender_that_had_to_wait() -> None:
    line: queue.Queue[Box | None] = queue.Queue(1)
    line.put(None)

    def send() -> None:
        box = Box()
        box.v = 42
        line.put(box)

    def receive() -> None:
        line.get()
        box = line.get()
        assert box
        assert box.v == 42

    run(send, receive)


# --- waiting for one of several ---


def no_race_first_of_two_channels() -> None:
    one: queue.Queue[int] = queue.Queue()
    other: queue.Queue[int] = queue.Queue()
    boxes = [Box(v=0), Box(v=0)]

    def send(place: int, line: queue.Queue[int]) -> None:
        boxes[place].v = 1
        line.put(place)

    def receive() -> None:
        for _ in boxes:
            _, place = first_of(one, other)
            assert boxes[place].v == 1

    run(lambda: send(0, one), lambda: send(1, other), receive)


@reports("unordered-read")
def race_channel_that_was_not_the_one() -> None:
    one: queue.Queue[int] = queue.Queue()
    other: queue.Queue[int] = queue.Queue()
    box, sent = Box(v=0), Gate()

    def send() -> None:
        box.v = 1
        one.put(0)
        sent.open()

    def receive() -> object:
        sent.wait()
        other.put(1)
        assert first_of(other, one)[1] == 1
        return box.v

    run(send, receive)
    sent.close()


@reports("unordered-read")
def race_timeout_instead_of_an_answer() -> None:
    line: queue.Queue[int] = queue.Queue()
    box, timed_out = Box(v=0), Gate()

    def work() -> None:
        box.v = 1
        timed_out.wait()
        line.put(1)

    def wait() -> object:
        with contextlib.suppress(queue.Empty):
            line.get(timeout=0.005)
        timed_out.open()
        return box.v

    run(work, wait)
    timed_out.close()


def no_race_cancelled_by_an_event() -> None:
    stop, line = threading.Event(), queue.SimpleQueue[Box]()
    box = Box(v=0)

    def work() -> None:
        while not stop.is_set():
            try:
                line.get(timeout=0.001).v += 1
            except queue.Empty:
                continue
        assert box.v == 5

    def cancel() -> None:
        line.put(Box(v=1))
        box.v = 5
        stop.set()

    run(work, cancel)


def no_race_select_on_a_channel_as_a_mutex() -> None:
    mutex: queue.Queue[int] = queue.Queue(1)
    box = Box(n=0)

    def work() -> None:
        while True:
            try:
                mutex.put(1, timeout=0.001)
                break
            except queue.Full:
                continue
        box.n += 1
        mutex.get_nowait()

    run(work, work)
