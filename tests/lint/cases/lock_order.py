import threading


class Bank:
    def __init__(self):
        self._accounts_lock = threading.Lock()
        self._log_lock = threading.Lock()
        self._other_lock = threading.Lock()

    def transfer(self):
        with self._accounts_lock:
            self._write()

    def _write(self):
        with self._log_lock:
            pass

    def rotate(self):
        with self._log_lock:
            with self._accounts_lock:  # want "elsewhere the other way round"
                pass

    def fine(self):
        with self._accounts_lock, self._other_lock:
            pass
