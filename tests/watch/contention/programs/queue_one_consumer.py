"""A bounded queue with one consumer, which is slower than its producer."""

import queue

from scene import join, start, work_until_blocked

jobs: "queue.Queue[int]" = queue.Queue(maxsize=1)


def produce() -> None:
    jobs.put(1)
    jobs.put(2)  # blocks


def consume() -> None:
    for _ in range(2):
        if not taken:
            work_until_blocked(threads[0])
        taken.append(jobs.get())


taken: list[int] = []
threads = start(produce)
threads += start(consume)
join(threads)
