"""A writer waits for a reader that takes its time."""

import threading

from scene import join, start, work_until_blocked
from threadproof.sync import RWLock

catalogue = RWLock()
reading = threading.Event()


def read() -> None:
    with catalogue.read():
        reading.set()
        work_until_blocked(threads[0])


def write() -> None:
    reading.wait()
    with catalogue.write():  # blocks
        pass


threads: list[threading.Thread] = []
threads += start(write)
threads += start(read)
join(threads)
