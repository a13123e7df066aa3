"""A thread waits for the value that another one computes in a HashMap."""

import threading

from scene import join, start, work_until_blocked
from threadproof import HashMap

prices: HashMap[str, int] = HashMap()
computing = threading.Event()


def compute(name: str) -> int:
    computing.set()
    work_until_blocked(threads[0])
    return len(name)


def load() -> None:
    prices.compute_if_absent("pear", compute)


def look() -> None:
    computing.wait()
    prices.compute_if_absent("pear", compute)  # blocks


threads: list[threading.Thread] = []
threads += start(look)
threads += start(load)
join(threads)
