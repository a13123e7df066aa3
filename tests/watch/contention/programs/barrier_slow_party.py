"""Two threads are at the barrier, and the third takes its time."""

import threading

from scene import join, start, work_until_blocked

phase = threading.Barrier(3)


def quick() -> None:
    phase.wait()  # blocks


def slow() -> None:
    work_until_blocked(*threads[:2])
    phase.wait()


threads = start(quick, quick)
threads += start(slow)
join(threads)
