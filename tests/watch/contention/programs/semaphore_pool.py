"""One connection for two threads: the second waits until the first gives it back."""

import threading

from scene import join, start, work_until_blocked

connections = threading.Semaphore(1)
taken = threading.Event()


def query() -> None:
    with connections:
        taken.set()
        work_until_blocked(threads[0])


def wait_for_it() -> None:
    taken.wait()
    connections.acquire()  # blocks
    connections.release()


threads: list[threading.Thread] = []
threads += start(wait_for_it)
threads += start(query)
join(threads)
