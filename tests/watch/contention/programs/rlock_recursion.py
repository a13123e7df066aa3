"""An RLock is not contended by its own thread, which acquires it again; another thread waits for it."""

import threading

from scene import join, start, work_until_blocked

tree = threading.RLock()
inside = threading.Event()


def walk(depth: int) -> None:
    with tree:
        if depth:
            walk(depth - 1)
        else:
            inside.set()
            work_until_blocked(threads[0])


def descend() -> None:
    walk(5)


def insert() -> None:
    inside.wait()
    with tree:  # blocks
        pass


threads: list[threading.Thread] = []
threads += start(insert)
threads += start(descend)
join(threads)
