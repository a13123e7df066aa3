"""A thread waits for an item of a SimpleQueue."""

import queue

from scene import join, start, work_until_blocked

inbox: "queue.SimpleQueue[int]" = queue.SimpleQueue()


def receive() -> None:
    inbox.get()  # blocks


def send() -> None:
    work_until_blocked(threads[0])
    inbox.put(1)


threads = start(receive)
threads += start(send)
join(threads)
