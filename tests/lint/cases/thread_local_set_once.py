import threading
from contextlib import suppress


class Client:
    def __init__(self):
        self._local = threading.local()
        self._local.session = None  # want "set only in the thread that runs __init__"

    def session(self):
        if self._local.session is None:
            self._local.session2 = object()
        return self._local.session


class Careful:
    def __init__(self):
        self._local = threading.local()
        self._local.depth = 0

    def depth(self):
        return getattr(self._local, "depth", 0)

    def enter(self):
        with suppress(AttributeError):
            pass
        try:
            return self._local.depth
        except AttributeError:
            return 0


class Own(threading.local):
    def __init__(self):
        self.session = None


OWN = Own()
STATE = threading.local()
STATE.stack = []  # want "in any thread"


def push(item):
    STATE.stack.append(item)
    return OWN.session


def handler():
    local = threading.local()  # want "made anew for each call"
    local.x = 1
    return local.x


def factory():
    local = threading.local()
    return local
