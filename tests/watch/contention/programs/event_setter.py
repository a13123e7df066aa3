"""A thread waits for an Event that another one sets late."""

import threading

from scene import join, start, work_until_blocked

started = threading.Event()


def serve() -> None:
    started.wait()  # blocks


def configure() -> None:
    work_until_blocked(threads[0])
    started.set()


threads = start(serve)
threads += start(configure)
join(threads)
