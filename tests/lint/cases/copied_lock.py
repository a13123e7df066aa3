import copy
import threading


class Holder:
    def __init__(self):
        self._lock = threading.Lock()
        self.items = {}

    def clone(self):
        return copy.deepcopy(self)  # want "cannot copy"

    def items_copy(self):
        return copy.copy(self.items)


class Own:
    def __init__(self):
        self._lock = threading.Lock()

    def __getstate__(self):
        return {}

    def clone(self):
        return copy.deepcopy(self)
