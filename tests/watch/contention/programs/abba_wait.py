"""Two locks in opposite orders: one thread gives up after a time, so that the other one goes on."""

import threading

from scene import is_blocked, join, start, work, work_until

left, right = threading.Lock(), threading.Lock()
both = threading.Barrier(2)


def first() -> None:
    with left:
        both.wait()
        with right:  # blocks
            pass


def second() -> None:
    with right:
        both.wait()
        work_until(lambda: is_blocked(threads[0]))
        left.acquire(timeout=0.005)
        work()


threads: list[threading.Thread] = []
threads += start(first)
threads += start(second)
join(threads)
