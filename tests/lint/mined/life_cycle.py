"""Threads, locks and closures that are made, joined or given back in the wrong way."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor


class Monitor(threading.Thread):  # tqdm 4.23.4 -> 4.30.0, _monitor.py: exit() in the monitor itself
    def __init__(self, bars):
        threading.Thread.__init__(self)
        self.bars = bars
        self.killed = threading.Event()

    def run(self):
        while not self.killed.is_set():
            for bar in self.bars:
                bar.check()
            if not self.bars:
                self.exit()

    def exit(self):
        self.killed.set()
        self.join()  # bug


class Heartbeat(threading.Thread):  # kafka-python 1.4.7 -> 2.0.6: the collector closes it in its thread
    def __init__(self, coordinator):
        super().__init__()
        self.coordinator = coordinator
        self.closed = False

    def run(self):
        while not self.closed:
            self.coordinator.maybe_close(self.close)

    def close(self):
        self.closed = True
        self.join()  # bug


class Group:
    def __init__(self):
        self.heartbeat = Heartbeat(weakref.proxy(self))

    def maybe_close(self, close):
        close()


class Coordinator:  # kafka-python 2.0.6 -> 2.1.6, coordinator/base.py: two heartbeat threads
    def __init__(self):
        self._lock = threading.Condition()
        self._thread = None

    def poll(self):
        with self._lock:
            self._lock.notify_all()

    def start_heartbeat(self):
        if self._thread is None:  # bug
            self._thread = threading.Thread(target=self.poll)
            self._thread.start()


class Session:  # redis 5.1.1 -> 6.1.1, client.py: a lock made at first use
    def __init__(self):
        self._lock = None
        self.pool = ThreadPoolExecutor()

    def start(self):
        self.pool.submit(self.send)
        self.pool.submit(self.send)

    def send(self):
        if self._lock is None:  # bug
            self._lock = threading.Lock()
        with self._lock:
            return 1


def each(names):  # the same slip in many programs: the closure sees the last name
    for name in names:
        threading.Thread(target=lambda: print(name)).start()  # bug


class Locals:  # elasticsearch 2.1.0 -> 5.3.0, paramiko 2.6.0 -> 2.10.6: state of one thread
    def __init__(self):
        self.data = threading.local()
        self.data.count = 0  # bug

    def next(self):
        self.data.count += 1
        return self.data.count


class Sender:  # loguru 0.1.0 -> 0.2.5, _handler.py: released only if nothing fails
    def __init__(self):
        self.lock = threading.Lock()

    def emit(self, record):
        self.lock.acquire()  # bug
        record.write()
        self.lock.release()


class HeartbeatThread(threading.Thread):  # kafka-python 1.4.7 -> 2.0, coordinator/base.py: closed by a finalizer
    def __init__(self, coordinator):
        super().__init__()
        self.coordinator = weakref.proxy(coordinator)

    def run(self):
        self.coordinator.beat()

    def close(self):
        self.join()  # bug


class Coordinator:
    def __init__(self):
        self._heartbeat = HeartbeatThread(self)

    def beat(self):
        pass

    def close(self):
        self._heartbeat.close()

    def __del__(self):
        self.close()
