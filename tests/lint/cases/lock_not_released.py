import threading
from contextlib import contextmanager


class Store:
    def __init__(self):
        self._lock = threading.Lock()

    def plain(self, write):
        self._lock.acquire()  # want "not released on every path"
        write()
        self._lock.release()

    def early(self, ready):
        self._lock.acquire()  # want
        if not ready:
            return None
        self._lock.release()
        return True

    def raising(self, ready):
        self._lock.acquire()  # want
        if not ready:
            raise ValueError
        self._lock.release()

    @contextmanager
    def held(self):
        self._lock.acquire()  # want
        yield
        self._lock.release()

    def tried(self, write):
        self._lock.acquire()
        try:
            write()
        finally:
            self._lock.release()

    def caught(self, write):
        self._lock.acquire()
        try:
            write()
        except Exception:
            self._lock.release()
            raise
        self._lock.release()

    def optional(self, lock, write):
        if lock:
            lock.acquire()
        try:
            write()
        finally:
            if lock:
                lock.release()

    def attempt(self, write):
        if self._lock.acquire(False):
            try:
                write()
            finally:
                self._lock.release()

    def looped(self, ready):
        while not self._lock.acquire(timeout=1):
            if ready():
                return
        try:
            ready()
        finally:
            self._lock.release()

    def count(self):
        self._lock.acquire()
        self.total = 1
        self._lock.release()

    def paused(self, write):
        with self._lock:
            self._lock.release()
            write()
            self._lock.acquire()


class HandedOver:
    def __init__(self):
        self._lock = threading.Lock()

    def begin(self):
        self._lock.acquire()

    def end(self):
        self._lock.release()


class Waits:
    def __init__(self):
        self._lock = threading.Lock()

    def put(self, timeout, work):
        acquired = False
        if timeout > 5 and self._lock.acquire(blocking=False):
            acquired = True
        if not acquired:
            raise TimeoutError
        try:
            work()
        finally:
            self._lock.release()
