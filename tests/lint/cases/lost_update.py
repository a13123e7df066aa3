import threading


class Counter:
    def __init__(self):
        self.hits = 0
        self.misses = 0
        self.total = 0
        self._lock = threading.Lock()

    def run(self):
        self.hits += 1  # want "may be lost"

    def two_steps(self):
        hits = self.hits  # the store is two lines below
        hits += 1
        self.hits = hits  # want

    def miss(self):
        with self._lock:
            self.misses += 1

    def add(self, n):
        with self._lock:
            self._add(n)

    def _add(self, n):
        self.total += n


counter = Counter()
for _ in range(4):
    threading.Thread(target=counter.run).start()


class Alone:
    def __init__(self):
        self.ticks = 0
        threading.Thread(target=self._run).start()

    def _run(self):
        self.ticks += 1  # one thread writes

    def read(self):
        return self.ticks


def count(words):
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


class Task:
    made = 0
    limit = 0

    def __init__(self):
        Task.made += 1  # want "an update of self.made may be lost"
        self.limit += 1  # the object's own


class Numbered:
    made = 0

    def __new__(cls):
        cls.made += 1  # want
        return super().__new__(cls)

    def __init__(self):
        number = type(self)
        number.made += 1  # want


class Depths(threading.local):
    depth = 0


class ThreadLocal:
    def __init__(self):
        self.depth = 0


depths = Depths()
other = ThreadLocal()


def walk():
    depths.depth += 1
    other.depth += 1


class Device:  # devlib, before its connections were counted under a lock
    users = {}

    def __init__(self, name):
        self.name = name
        Device.users[name] += 1  # want

    def close(self):
        Device.users[self.name] -= 1  # want


class Patched:
    def __init__(self):
        self._lock = threading.Lock()
        self._limit = 10

    def without_limit(self, run):
        with self._lock:
            run()
        before = self._limit
        self._limit = []  # nothing is ever added to it
        run()
        self._limit = before


class Buffers:
    def __init__(self):
        self._lock = threading.Lock()
        self._items = []
        self._sums = {}
        self._most = 0
        self._parts = []
        self._size = 0

    def add(self, item):
        with self._lock:
            self._items.append(item)
            self._sums[item] = 1
            self._parts.append(item)

    def drain(self):
        found = list(self._items)
        self._items.clear()  # want "what is added to self._items may be lost"
        return found

    def drain_sums(self):
        found, self._sums = self._sums, {}  # want "what is added to self._sums may be lost"
        return found

    def drain_right(self):
        with self._lock:
            found = list(self._parts)
            self._parts.clear()
        return found

    def note(self, size):
        if size > self._most:
            self._most = size  # want "may become smaller or older"

    def most(self):
        with self._lock:
            return self._most

    def resize(self, size):
        if size != self._size:
            self._size = size

    def size(self):
        with self._lock:
            return self._size


class Threads:
    def __init__(self):
        self._lock = threading.Lock()
        self._threads = set()

    def add(self, thread):
        with self._lock:
            self._threads.add(thread)

    def stop(self):
        for thread in self._threads:
            thread.join()
        self._threads.clear()
