"""The main thread joins a slow one."""

import threading

from scene import is_blocked, work, work_until


def slow() -> None:
    work_until(lambda: is_blocked(threading.main_thread()))
    work()


worker = threading.Thread(target=slow, name="slow worker")
worker.start()
worker.join()  # blocks
