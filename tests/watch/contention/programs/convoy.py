"""Every thread does all of its work inside one lock: they go through it one by one."""

import threading

from scene import join, start, work_until_blocked


class Convoy:
    def __init__(self) -> None:
        self.turn = threading.Lock()

    def ride(self) -> None:
        with self.turn:  # blocks
            work_until_blocked(*[each for each in threads if each.is_alive() and each not in done()])


convoy = Convoy()
entered: list[threading.Thread] = []
threads: list[threading.Thread] = []


def done() -> list[threading.Thread]:
    """Those that have been in the lock, and this one."""
    entered.append(threading.current_thread())
    return entered


with convoy.turn:
    threads += start(convoy.ride, convoy.ride, convoy.ride)
    work_until_blocked(*threads)
join(threads)
