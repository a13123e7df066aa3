import threading
from concurrent.futures import ThreadPoolExecutor


class Locks:
    def __init__(self):
        self._guard = threading.Lock()
        self._locks = {}
        self._sizes = {}

    def lock(self, key):
        found = self._locks.get(key)  # want "both store a value"
        if found is None:
            found = self._locks[key] = threading.Lock()
        return found

    def size(self, key):
        try:
            return self._sizes[key]
        except KeyError:
            self._sizes[key] = len(key)  # either will do
            return self._sizes[key]

    def fine(self, key):
        with self._guard:
            found = self._locks.get(key)
            if found is None:
                found = self._locks[key] = threading.Lock()
        return found

    def double(self, key):
        found = self._locks.get(key)
        if found is None:
            with self._guard:
                found = self._locks.get(key)
                if found is None:
                    found = self._locks[key] = threading.Lock()
        return found


locks = Locks()
with ThreadPoolExecutor() as pool:
    pool.map(locks.lock, "abc")
