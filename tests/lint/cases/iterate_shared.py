import threading


class Registry:
    def __init__(self):
        self._lock = threading.Lock()
        self._names = {}
        self._threads = set()

    def add(self, name, value):
        with self._lock:
            self._names[name] = value

    def remove(self, name):
        with self._lock:
            self._names.pop(name, None)

    def visit(self, call):
        for name in self._names:  # want "may change while it is iterated"
            call(name)

    def copy(self, call):
        for name in list(self._names):
            call(name)

    def locked(self, call):
        with self._lock:
            for name in self._names:
                call(name)

    def stop(self):
        for thread in self._threads:
            thread.join()


table = {}


def write():
    for i in range(10):
        table[i] = i


def read():
    return [v for v in table.values()]  # want


threading.Thread(target=write).start()
threading.Thread(target=read).start()


class Leases:
    def __init__(self):
        self._lock = threading.Lock()
        self._leases = {}
        self._owners = set()

    def add(self, lease, owner):
        with self._lock:
            self._leases[lease] = owner
            self._owners.add(owner)

    def remove(self, lease):
        with self._lock:
            del self._leases[lease]

    def ids(self):
        return self._leases.keys()  # want "handed out as live keys"

    @property
    def owners(self):
        with self._lock:
            return self._owners  # want "self._owners is handed out itself, and changes under self._lock"

    def copy(self):
        with self._lock:
            return set(self._owners)

    def holder(self, lease):
        with self._lock:
            return self._leases[lease]


class Rows:  # one object in a global: every thread has the same
    def __init__(self):
        self.known = {}

    def add(self, name, row):
        self.known[name] = row

    def show(self):
        for name, row in self.known.items():  # want
            print(name, row)


rows = Rows()


class Tasks:
    def __init__(self):
        self._lock = threading.Lock()
        self._tasks = {}
        self._done = {}

    def add(self, key, task):
        with self._lock:
            self._tasks[key] = task
            self._done[key] = task

    def names(self):
        with self._lock:
            tasks = self._tasks.values()
        return [task.name for task in tasks]  # want "may change while it is iterated"

    def done(self):
        with self._lock:
            tasks = list(self._done.values())
        return [task.name for task in tasks]


class Network(threading.Thread):
    def __init__(self):
        super().__init__()
        self._peers = {}
        self._given = {}
        self._handlers = {"add": self._add}

    def run(self):
        for name, value in messages():
            self._handlers[name](value)
            for peer in self._peers:
                peer.send(value)
            for peer in self._given:  # want "may change while it is iterated"
                peer.send(value)

    def _add(self, value):
        self._peers[value] = 1

    def subscribe(self, bus):
        bus.subscribe(self._give)

    def _give(self, value):
        self._given[value] = dict(handlers=self._handlers)
