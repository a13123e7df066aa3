import threading
from typing import Annotated

from threadproof.annotations import GuardedBy, requires_lock


class Account:
    def __init__(self):
        self._lock = threading.Lock()
        self.balance = 0
        self._add(1)

    @requires_lock("_lock")
    def _add(self, amount):
        self.balance += amount

    @requires_lock("_lock")
    def _twice(self, amount):
        self._add(amount)
        self._add(amount)

    def right(self, amount):
        with self._lock:
            self._twice(amount)

    def wrong(self, amount):
        self._add(amount)  # want "_add.. requires self._lock, which is not held here"

    def _sure(self, amount):
        self._add(amount)

    def caller(self, amount):
        with self._lock:
            self._sure(amount)


class Names:
    names: Annotated[dict, GuardedBy("_lock")]

    def __init__(self):
        self._lock = threading.Lock()
        self.names = {}

    def put(self, key):
        self.names[key] = 1  # want "self.names is declared to be guarded by self._lock"

    def get(self):
        return self.names  # want "self.names is declared to be guarded by self._lock"

    def right(self, key):
        with self._lock:
            self.names[key] = 2
