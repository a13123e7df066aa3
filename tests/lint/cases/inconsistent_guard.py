import threading


class Account:
    def __init__(self):
        self._lock = threading.Lock()
        self._balance = 0
        self._log = []
        self._name = "x"

    def put(self, n):
        with self._lock:
            self._balance += n
            self._log.append(n)

    def get(self):
        with self._lock:
            return self._balance

    def reset(self):
        self._balance = 0  # want "in 2 of 4 places, not here"

    def note(self, line):
        self._log.append(line)

    def show(self):
        with self._lock:
            return list(self._log)

    def close(self):
        self._balance = 0

    def peek(self):
        return self._name

    def rename(self, name):
        self._name = name


class Conditioned:
    def __init__(self):
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._items = []

    def put(self, item):
        with self._lock:
            self._items.append(item)
            self._ready.notify()

    def get(self):
        with self._ready:
            return self._items.pop()

    def drop(self):
        with self._ready:
            self._items.clear()


class Batch:
    def __init__(self):
        self._lock = threading.Lock()
        self._status = "open"
        threading.Thread(target=self.monitor).start()

    def monitor(self):
        self._commit()

    def commit(self):
        self._status = "started"  # want "not here"
        threading.Thread(target=self._commit).start()

    def _commit(self):
        with self._lock:
            if self._status == "open":
                self._status = "done"
