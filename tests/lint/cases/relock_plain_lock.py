import threading

lock = threading.Lock()
rlock = threading.RLock()


def outer():
    with lock:
        inner()  # want "taken again: the thread waits for itself"


def inner():
    with lock:
        pass


def outer_re():
    with rlock:
        inner_re()


def inner_re():
    with rlock:
        pass


class Store:
    def __init__(self):
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)

    def put(self):
        with self._lock:
            self.size()  # want

    def size(self):
        with self._done:
            return 0

    def attempt(self):
        if self._lock.acquire(False):
            self._lock.release()
        elif self.size():
            with self._lock:
                pass


class Stepwise:
    def __init__(self):
        self._lock = threading.Lock()

    def work(self):
        with self._lock:
            self._refill()

    def _refill(self):
        self._lock.release()
        try:
            print("slow")
        finally:
            self._lock.acquire()


class Sender:
    def __init__(self):
        self._in_callback = threading.Lock()

    def answer(self):
        with self._in_callback:
            self.send()

    def send(self):
        if self._in_callback.acquire(False):  # not within a callback
            self._in_callback.release()
            self.write()

    def write(self):
        with self._in_callback:
            pass
