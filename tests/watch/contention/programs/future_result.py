"""The main thread waits for the result of a slow task."""

import threading
from concurrent.futures import ThreadPoolExecutor

from scene import is_blocked, work, work_until


def task() -> int:
    work_until(lambda: is_blocked(threading.main_thread()))
    work()
    return 1


with ThreadPoolExecutor(1) as executor:
    future = executor.submit(task)
    future.result()  # blocks
