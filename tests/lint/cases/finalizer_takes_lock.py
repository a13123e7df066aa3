import signal
import threading

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
