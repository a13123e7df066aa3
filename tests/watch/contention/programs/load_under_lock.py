"""A writer holds the lock of the whole map while it loads a value, and a reader of another key waits."""

import threading

from scene import join, start, work_until_blocked
from threadproof.sync import RWLock


class Prices:
    def __init__(self) -> None:
        self.lock = RWLock()
        self.prices = {"apple": 1}

    def load(self) -> None:
        with self.lock.write():
            inside.set()
            work_until_blocked(threads[0])
            self.prices["pear"] = 2

    def read(self) -> int:
        inside.wait()
        with self.lock.read():  # blocks
            return self.prices["apple"]


inside = threading.Event()
shop = Prices()
threads: list[threading.Thread] = []
threads += start(shop.read)
threads += start(shop.load)
join(threads)
