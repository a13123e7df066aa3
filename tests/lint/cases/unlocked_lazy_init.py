import queue
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


class Names:
    _lock = threading.Lock()

    def __init__(self):
        self._loaded = False
        self._names = {}
        self._started = False
        self._flag = False

    def load(self, lines):
        if self._loaded:  # want "can be seen half made"
            return
        self._names = {}
        for line in lines:
            self._names[line] = True
        self._loaded = True

    def load_right(self, lines):
        if self._flag:
            return
        self._names = dict.fromkeys(lines)
        self._flag = True

    def start(self):
        if self._started:  # want "both make one"
            return
        self._started = True
        threading.Thread(target=self.load).start()

    def count(self):
        with self._lock:
            return len(self._names)


class Sender:
    def __init__(self):
        self._thread = None
        self._items = []

    def send(self, item):
        self._items.append(item)
        if self._thread is None:  # want "both make one"
            self._thread = threading.Thread(target=self._work)
            self._thread.start()

    def start(self):
        if self._thread is None:
            self._thread = threading.Thread(target=self._work)
            self._thread.start()

    def _work(self):
        pass


provider = None
level = None


def set_provider(given):
    global provider
    if provider is not None:  # want "both make one"
        return
    provider = given


def set_level(given):
    global level
    level = given


class Waiting:
    def __init__(self):
        self._lock = threading.Lock()
        self._items = queue.Queue()

    def run_all(self):
        if not self._items.empty():
            items = self._items
            self._items = queue.Queue()
            return items
        with self._lock:
            return None


class Link:
    def __init__(self):
        self._lock = threading.Lock()
        self._link = None
        self._other = None

    def link(self, address):
        if self._link is None:  # want "can be seen half made"
            self._link = Address()
            self._link.connect(address)
        return self._link

    def other(self, address):
        if self._other is None:
            other = Address()
            other.connect(address)
            self._other = other
        return self._other

    def close(self):
        with self._lock:
            return None


class Address:
    pass
