import threading


class Bus:
    def __init__(self):
        self._lock = threading.Lock()
        self._rlock = threading.RLock()
        self._callbacks = []

    def emit(self, event):
        with self._lock:
            for callback in self._callbacks:
                callback(event)  # want "a callback is called while self._lock is held"

    def emit_well(self, event):
        with self._lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(event)

    def emit_reentrant(self, event):
        with self._rlock:
            for callback in self._callbacks:
                callback(event)
