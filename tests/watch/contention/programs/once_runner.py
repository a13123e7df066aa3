"""Two threads need a value that is made once, and slowly."""

import threading

from scene import join, start, work_until_blocked
from threadproof.sync import Once

settings: Once[int] = Once("settings")
making = threading.Event()


def make() -> int:
    making.set()
    work_until_blocked(threads[0])
    return 1


def first() -> None:
    settings.run(make)


def second() -> None:
    making.wait()
    settings.run(make)  # blocks


threads: list[threading.Thread] = []
threads += start(second)
threads += start(first)
join(threads)
