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


CONTEXT = threading.local()
CONTEXT.request = None  # want "current\(\) reads it in any thread"
CONTEXT.depth = 0


def set_request(request):
    CONTEXT.request = request


def current():
    return CONTEXT.request


def enter():
    CONTEXT.depth = 1
    return CONTEXT.depth


def exit_():
    CONTEXT.depth -= 1


class Lock:
    def __init__(self):
        self.local = threading.local()
        self.local.token = None  # want "acquire\(\) reads it in any thread"

    def acquire(self, token):
        if self.local.token is None:
            self.local.token = token

    def release(self):
        return getattr(self.local, "token", None)


connections = None


def configure(connect):
    global connections
    connections = threading.local()
    connections.main = connect()  # want "query\(\) reads it in any thread"


def query(text):
    return connections.main.execute(text)
