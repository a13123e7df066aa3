import threading


class Queue:
    def __init__(self):
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._items = []

    def take(self):
        with self._ready:
            if not self._items:
                self._ready.wait()  # want "not in a loop"
            return self._items.pop()

    def take_well(self):
        with self._ready:
            while not self._items:
                self._ready.wait()
            return self._items.pop()

    def take_better(self):
        with self._ready:
            self._ready.wait_for(lambda: self._items)
            return self._items.pop()

    def pause(self):
        with self._ready:
            self._ready.wait(1)
        self._stop.wait()

    def wait(self):
        self._ready.wait()


class Consumer:
    def __init__(self):
        self._wake = threading.Condition()
        self._paused = False

    def run(self, stream):
        while stream.is_active():
            if self._paused:
                with self._wake:
                    self._wake.wait()  # want "tested before the lock is taken"
            stream.receive()

    def right(self, stream):
        while stream.is_active():
            with self._wake:
                while self._paused:
                    self._wake.wait()
            stream.receive()


class Given:
    def __init__(self, make_condition):
        self._condition = make_condition()
        self._result = None

    def get(self):
        with self._condition:
            self._condition.wait()  # want "not in a loop"
            return self._result


class Items:
    def __init__(self):
        self._filled = threading.Condition()
        self._items = []

    def take(self, seconds):
        with self._filled:
            if not self._items:
                self._filled.wait(seconds)  # want "not in a loop"
            return self._items.pop()

    def take_right(self, seconds):
        with self._filled:
            if not self._items:
                self._filled.wait(seconds)
            return self._items.pop() if self._items else None
