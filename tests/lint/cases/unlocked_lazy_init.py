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


class Ticker:
    def __init__(self):
        self._lock = threading.Lock()
        self.ticks = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with self._lock:
            self.ticks += 1

    def wake(self):
        if self._thread is None or not self._thread.is_alive():  # want "both make one"
            self._thread = threading.Thread(target=self._run)
            self._thread.start()

    def wake_safely(self):
        with self._lock:
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run)
                self._thread.start()


class Service:
    _instance = None

    def __init__(self):
        Service._instance = self

    @classmethod
    def instance(cls):
        if Service._instance is None:  # want "both make one"
            Service()
        return Service._instance


_codes = None


def codes(lines):
    global _codes
    if _codes is None:  # want "half made"
        _codes = {}
        for line in lines:
            _codes[line[0]] = line
    return _codes


_names = None


def names(lines):
    global _names
    if _names is None:
        made = {line[0]: line for line in lines}
        _names = tuple(made)
    return _names
