import threading


def connect():
    pass


class Client:
    def __init__(self):
        self._lock = threading.Lock()
        self._connection = None
        self._worker = None
        self._name = None

    def connection(self):
        if self._connection is None:  # want "both make one"
            self._connection = connect()
        return self._connection

    def worker(self):
        if not self._worker:  # want
            self._worker = threading.Thread(target=print)
        return self._worker

    def name(self):
        if self._name is None:
            self._name = "-".join("abc")
        return self._name

    def send(self, data):
        with self._lock:
            if self._connection is None:
                self._connection = connect()
