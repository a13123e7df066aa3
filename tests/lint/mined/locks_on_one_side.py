"""A class has a lock, and some place that changes what it guards is without it."""

import heapq
import threading


class Leaser:  # google-cloud-pubsub 0.41.0 -> 1.2.0, leaser.py: add() and remove() from two threads
    def __init__(self):
        self._thread = None
        self._leased = {}
        self._bytes = 0

    def add(self, items):
        for item in items:
            if item.ack_id not in self._leased:
                self._leased[item.ack_id] = item
                self._bytes += item.size  # bug

    def remove(self, items):
        for item in items:
            if self._leased.pop(item.ack_id, None) is not None:
                self._bytes -= item.size  # bug

    def start(self):
        self._thread = threading.Thread(target=self.maintain)
        self._thread.start()

    def maintain(self):
        while self._bytes:
            self.remove(list(self._leased.values()))


class Storage:  # huey 3.0.0 -> 3.0.2, storage.py: a heap changed without the lock of enqueue()
    def __init__(self):
        self._lock = threading.RLock()
        self._queue = []

    def enqueue(self, item):
        with self._lock:
            heapq.heappush(self._queue, item)

    def flush(self):
        with self._lock:
            self._queue = []

    def dequeue(self):
        return heapq.heappop(self._queue)  # bug


class Histogram:  # opentelemetry-sdk 1.20.0 -> 1.25.0, aggregation.py: aggregate() beside collect()
    def __init__(self):
        self._lock = threading.Lock()
        self._sum = 0
        self._max = 0

    def aggregate(self, value):
        self._sum += value  # bug
        self._max = max(self._max, value)

    def collect(self):
        with self._lock:
            found = (self._sum, self._max)
            self._sum = 0
            self._max = 0
            return found


class Buffer:  # datadog 0.41.0 -> 0.46.0, dogstatsd/base.py: the buffer's size beside its content
    def __init__(self):
        self._lock = threading.RLock()
        self._size = 0
        self._packets = []

    def open(self):
        with self._lock:
            self._size = 0
            self._packets = []

    def send(self, packet):
        self._packets.append(packet)
        self._size += len(packet)  # bug


class Dropped:  # datadog 0.47.0 -> 0.49.0, dogstatsd/base.py: counters of two threads
    def __init__(self):
        self.dropped = 0
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        self.dropped += 1  # bug

    def send(self, packet):
        self.dropped += 1


class Pool:  # redis 3.0.1 -> 3.4.1, connection.py: take, or make and count, without a lock
    def __init__(self):
        self._fork_lock = threading.Lock()
        self._created = 0
        self._free = []

    def reset(self):
        with self._fork_lock:
            self._created = 0
            self._free = []

    def make(self):
        self._created += 1  # bug
        return object()


class Dispatcher:  # waitress 1.1.0 -> 1.3.1, task.py: threads counted in and out without the lock
    def __init__(self):
        self.lock = threading.Lock()
        self.threads = {}
        self.stop_count = 0

    def set_count(self, count):
        with self.lock:
            self.stop_count += len(self.threads) - count
            self.threads[count] = 1

    def ended(self, number):
        with self.lock:
            self.threads.pop(number, None)

    def handler(self, number):
        self.stop_count -= 1  # bug


class Tricks:  # watchdog 2.2.1 -> 2.3.0, tricks: two threads stop the process, and one finds None
    def __init__(self):
        self.process = None
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def watch(self):
        self.stop()

    def start(self):
        self.process = object()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process = None
