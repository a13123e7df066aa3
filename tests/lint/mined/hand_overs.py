"""Work, callbacks and flags handed from one thread to another: two steps where one was meant."""

import threading
from weakref import WeakSet


class Answer:  # hazelcast-python-client 3.6 (future.py): done() is asked before the callback is added
    def __init__(self):
        self._callbacks = []
        self._event = threading.Event()

    def done(self):
        return self._event.is_set()

    def set_result(self):
        self._event.set()
        for callback in self._callbacks:
            callback(self)

    def add_done_callback(self, callback):
        if self.done():  # bug
            callback(self)
        else:
            self._callbacks.append(callback)


class Span:  # opentelemetry-sdk 0.14b0 -> 0.15b0, trace: ended between two critical sections
    def __init__(self):
        self._lock = threading.Lock()
        self._end_time = None
        self.attributes = {}

    def set_attribute(self, key, value):
        with self._lock:
            has_ended = self._end_time is not None  # bug
        if has_ended:
            return
        with self._lock:
            self.attributes[key] = value

    def end(self, time):
        with self._lock:
            self._end_time = time


class Sum:  # opentelemetry-sdk 0.4a1 -> 0.5b0, aggregate.py: what is added between the two lines is lost
    def __init__(self):
        self.current = 0
        self.checkpoint = 0
        self.exporter = threading.Thread(target=self.take)

    def start(self):
        self.exporter.start()

    def update(self, value):
        self.current += value  # bug

    def take(self):
        self.checkpoint = self.current
        self.current = 0  # bug


class Consumer:  # google-cloud-pubsub 0.34 (bidi.py): a resume() between the test and the wait is missed
    def __init__(self):
        self._wake = threading.Condition()
        self._paused = False

    def resume(self):
        with self._wake:
            self._paused = False
            self._wake.notify_all()

    def run(self, stream):
        while stream.is_active():
            if self._paused:
                with self._wake:
                    self._wake.wait()  # bug
            stream.receive()


class Listener:  # soco 0.12 -> 0.13, events.py: two subscriptions start two servers
    def __init__(self):
        self.is_running = False
        self._lock = threading.Lock()
        self._seen = 0

    def start(self):
        self._thread = threading.Thread(target=self.serve)
        self._thread.start()
        self.is_running = True

    def serve(self):
        with self._lock:
            self._seen += 1


LISTENER = Listener()


def subscribe():
    if not LISTENER.is_running:  # bug
        LISTENER.start()


class Refresher(threading.Thread):  # tqdm 4.9.0 -> 4.16.0: the loop is over a set of another class
    def __init__(self, bars):
        super().__init__()
        self.bars = bars

    def run(self):
        for bar in self.bars.instances:  # bug
            bar.refresh()


class Progress:
    def __init__(self):
        self.instances = WeakSet()

    def watch(self):
        Refresher(self).start()

    def add(self, bar):
        self.instances.add(bar)


class Levels:  # loguru 0.2.5 -> 0.3.2, _logger.py: read under the lock, and written under it again later
    def __init__(self):
        self._lock = threading.Lock()
        self._levels = []

    def enable(self, name):
        with self._lock:
            levels = [level for level in self._levels if level != name]
        levels.append(name)
        with self._lock:
            self._levels = levels  # bug


class Client:  # paho-mqtt 1.3.1 -> 1.4.0, client.py: two messages with one number
    def __init__(self):
        self._lock = threading.Lock()
        self._last = 0
        self._out = []

    def publish(self, message):
        number = self.next_number()
        with self._lock:
            self._out.append((number, message))

    def next_number(self):
        self._last += 1  # bug
        return self._last
