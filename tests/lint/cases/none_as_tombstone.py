import threading

cache = {}
other = {}


def evict(key):
    cache[key] = None  # want "leaves the key"
    other[key] = None


def get(key):
    return cache.get(key)


def forget(key):
    other.pop(key, None)


def known(key):
    return key in other


lock = threading.Lock()
