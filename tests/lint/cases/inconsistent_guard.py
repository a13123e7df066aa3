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


class Remade:
    def __init__(self):
        self._reset()

    def clear(self):
        self._reset()

    def _reset(self):  # makes the lock as well: everything is set up again
        self._total = 0
        self._lock = threading.Lock()

    def add(self, n):
        with self._lock:
            self._total += n

    def take(self):
        with self._lock:
            self._total -= 1


class Asked:
    def __init__(self):
        self._names_lock = threading.Lock()
        self._names = {}

    def add(self, name, known, use_lock=True):
        with self._names_lock if use_lock else known:  # the caller says whether it is held
            self._names[name] = len(self._names)

    def drop(self, name):
        with self._names_lock:
            if name in self._names:
                del self._names[name]

    def rename(self, old, new):
        with self._names_lock:
            self._names[new] = self._names.pop(old)


class FileLocked:
    def __init__(self, path):
        self._path = path
        self._rows = {}
        threading.Thread(target=self.add).start()

    def lock_write(self):  # locks a file out of other processes, and no thread
        return open(self._path, "r+b")

    def add(self):
        with self.lock_write():
            self._rows = dict(self._rows)

    def drop(self):
        with self.lock_write():
            self._rows.clear()

    def forget(self):
        self._rows = {}


class Waiting:
    def __init__(self):
        self._changed = threading.Condition()
        self._items = []
        self._closed = False
        self._name = ""

    def get(self):
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            return self._items.pop() if self._items else None

    def put(self, item):
        with self._changed:
            self._items.append(item)
            self._name = str(item)
            self._changed.notify()

    def close(self):
        self._closed = True  # want "guarded by self._changed"
        self._name = ""

    def start(self):
        self._name = "new"  # before anybody else uses it
