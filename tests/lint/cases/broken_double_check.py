import threading


class Pool:
    def open(self):
        pass


class Client:
    def __init__(self):
        self._lock = threading.Lock()
        self._pool = None
        self._loaded = False
        self._table = None

    def once(self):
        if self._pool is None:
            with self._lock:
                self._pool = Pool()  # want "not again under it"
        return self._pool

    def early(self):
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    self._pool = Pool()  # want "before it is ready"
                    self._pool.open()
        return self._pool

    def flag(self, load):
        if not self._loaded:
            with self._lock:
                if not self._loaded:
                    self._loaded = True  # want "before it is ready"
                    self._data = load()

    def filled(self, rows):
        if self._table is None:
            with self._lock:
                if self._table is None:
                    self._table = {}  # want
                    for key, value in rows:
                        self._table[key] = value

    def fine(self):
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    pool = Pool()
                    pool.open()
                    self._pool = pool
        return self._pool


class Names:
    def __init__(self):
        self._lock = threading.Lock()
        self._names = {}

    def name(self, key):
        try:
            return self._names[key]
        except KeyError:
            with self._lock:
                self._names[key] = str(key)  # the same again: nothing is lost
        return self._names[key]


class Single:
    _instance = None
    _lock = threading.Lock()

    def __new__(cls):
        if cls._instance is None:
            with cls._lock:
                cls._instance = super().__new__(cls)  # want "not again under it"
        return cls._instance


class SingleRight:
    _instance = None
    _lock = threading.Lock()

    def __new__(cls):
        if cls._instance is None:
            with cls._lock:
                if cls._instance is None:
                    cls._instance = super().__new__(cls)
        return cls._instance
