import threading
from contextlib import ContextDecorator

lock = threading.Lock()


def get():
    return 1


def put(value):
    pass


class override(ContextDecorator):
    def __enter__(self):
        self.old = get()  # want "is the state of one call"

    def __exit__(self, *error):
        put(self.old)


class fresh(ContextDecorator):
    def _recreate_cm(self):
        return type(self)()

    def __enter__(self):
        self.old = get()

    def __exit__(self, *error):
        put(self.old)


class timer:
    def __enter__(self):
        self._begin()
        return self

    def _begin(self):
        self.start = get()  # want

    def __exit__(self, *error):
        put(self.start)

    def __call__(self, function):
        def inner(*args):
            with self:
                return function(*args)

        return inner


class plain:
    def __enter__(self):
        self.old = get()

    def __exit__(self, *error):
        put(self.old)


class local(ContextDecorator):
    def __init__(self):
        self._local = threading.local()

    def __enter__(self):
        self._local.old = get()

    def __exit__(self, *error):
        put(self._local.old)


class timed:
    def __call__(self, function):
        def inner(*args):
            self.begun = clock()  # want "state of one call"
            try:
                return function(*args)
            finally:
                report(self.begun)

        return inner


class measured:
    def __call__(self, function):
        def inner(*args):
            self.start()
            try:
                return function(*args)
            finally:
                self.stop()

        return inner

    def start(self):
        self.begun = clock()  # want "state of one call"

    def stop(self):
        report(self.begun)


class limited:
    def __call__(self, function):
        def inner(*args):
            wait_since(self.last)
            self.last = clock()
            return function(*args)

        return inner


class local_state:
    def __call__(self, function):
        def inner(*args):
            begun = clock()
            result = function(*args)
            report(begun)
            return result

        return inner
