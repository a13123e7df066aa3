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

    def flagged(self, work):
        taken = self._lock.acquire(blocking=False)  # want "not released on every path"
        if taken:
            work()
            self._lock.release()

    def flagged_right(self, work):
        taken = self._lock.acquire(blocking=False)
        try:
            work()
        finally:
            if taken:
                self._lock.release()

    def each(self, items):
        self._lock.acquire()  # want "not released on every path"
        for item in items:
            yield item
        self._lock.release()

    def each_right(self, items):
        with self._lock:
            yield from items


class Slots:
    def __init__(self):
        self._slots = threading.Semaphore(3)
        self._given = threading.Semaphore(3)

    def send(self, work):
        self._slots.acquire()  # want "not released on every path"
        work()
        self._slots.release()

    def give(self, work):
        self._given.acquire()
        work(self.done)
        self._given.release()

    def done(self):
        self._given.release()


class Channels:
    def __init__(self, lock):
        self._lock = lock

    def set(self, work, number):
        self._lock.acquire(number)  # of a channel, and no lock of threads
        work()
        self._lock.release(number)


class Probe:
    def __init__(self, probe):
        self.probe = probe
        self.mutex = threading.Lock()

    def write(self, value):
        self.probe.lock()  # want "not released on every path"
        self.probe.send(value)
        self.probe.unlock()

    def write_right(self, value):
        self.probe.lock()
        try:
            self.probe.send(value)
        finally:
            self.probe.unlock()

    def check(self):
        self.mutex.acquire()  # want "not released on every path"
        assert self.probe
        self.mutex.release()
