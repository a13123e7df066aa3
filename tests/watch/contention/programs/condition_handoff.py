"""A thread waits at a Condition until another one has made the value."""

import threading

from scene import join, start, work_until_blocked

ready = threading.Condition()
values: list[int] = []


def consume() -> None:
    with ready:
        while not values:
            ready.wait()  # blocks


def make() -> None:
    work_until_blocked(threads[0])
    with ready:
        values.append(1)
        ready.notify()


threads = start(consume)
threads += start(make)
join(threads)
