import queue
import signal
import threading
import weakref

free_lock = threading.Lock()
free = []


class Buffer:
    def __del__(self):
        with free_lock:  # want "which the interrupted thread may hold"
            free.append(self)


def take():
    with free_lock:
        return free.pop()


class Own:
    def __init__(self):
        self._lock = threading.Lock()

    def close(self):
        with self._lock:
            pass

    def __del__(self):
        self.close()


def on_signal(number, frame):
    with free_lock:  # want "a signal handler"
        free.clear()


signal.signal(signal.SIGTERM, on_signal)


class Report:
    done = queue.Queue()
    later = queue.SimpleQueue()

    def __del__(self):
        self.done.put(1)  # want "a queue, which the interrupted thread may hold"
        self.later.put(1)


class Registry:
    def __init__(self):
        self._lock = threading.Lock()
        self._references = []

    def add(self, one):
        with self._lock:
            self._references.append(weakref.ref(one, self._gone))

    def _gone(self, reference):
        with self._lock:  # want "which the interrupted thread may hold"
            self._references.remove(reference)


class RegistryRight:
    def __init__(self):
        self._lock = threading.RLock()
        self._references = []

    def add(self, one):
        with self._lock:
            self._references.append(weakref.ref(one, self._gone))

    def _gone(self, reference):
        with self._lock:
            self._references.remove(reference)


class BufferPool:
    def __init__(self):
        self._lock = threading.Lock()
        self._free = []

    def give(self, buffer):
        with self._lock:
            self._free.append(buffer)

    def take(self):
        with self._lock:
            return self._free.pop()


class Lent:
    def __init__(self, pool: BufferPool):
        self._pool = pool

    def __del__(self):
        self._pool.give(self)  # want "which the interrupted thread may hold"
