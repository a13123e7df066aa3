import functools
import weakref


def remove(path):
    pass


class Folder:
    def __init__(self, path):
        self.path = path
        weakref.finalize(self, self._cleanup)  # want "the finalizer holds self"
        weakref.finalize(self, lambda: remove(self.path))  # want
        weakref.finalize(self, functools.partial(self._cleanup))  # want
        weakref.finalize(self, remove, self)  # want
        weakref.finalize(self, remove, self.path)
        weakref.finalize(self, self._static, path)
        weakref.finalize(self, lambda path=path: remove(path))

    def _cleanup(self):
        remove(self.path)

    @staticmethod
    def _static(path):
        remove(path)


class Registry:
    def __init__(self):
        self.entries = {}

    def add(self, key):
        entry = Folder(key)
        self.entries[key] = entry
        weakref.finalize(entry, lambda: self.entries.pop(key, None))  # want
