import threading


class Items:
    def __init__(self):
        self._put_lock = threading.Lock()
        self._drop_lock = threading.Lock()
        self._items = {}
        self._count = 0

    def put(self, key, value):
        with self._put_lock:
            self._items[key] = value

    def drop(self, key):
        with self._drop_lock:
            self._items.pop(key, None)  # want "guarded by self._drop_lock here"

    def one(self):
        with self._put_lock:
            self._count += 1

    def two(self):
        with self._put_lock, self._drop_lock:
            self._count += 1


class FromALoop:
    def __init__(self):
        self._put_lock = threading.Lock()
        self._drop_lock = threading.Lock()
        self._items = {}

    def put(self, key, value):
        with self._put_lock:
            self._items[key] = value

    async def drop(self, key):
        self._items.pop(key, None)

    def clear(self):
        with self._drop_lock, self._put_lock:
            self._items.clear()
