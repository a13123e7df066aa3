import threading

lock = threading.Lock()
gate = threading.Semaphore(3)


def update(work):
    lock.acquire(timeout=5)  # want "may not get lock"
    try:
        work()
    finally:
        lock.release()


def attempt(work):
    lock.acquire(False)  # want
    work()
    lock.release()


def fine(work):
    if not lock.acquire(timeout=5):
        raise TimeoutError
    try:
        work()
    finally:
        lock.release()


def drain():
    gate.acquire(blocking=False)
