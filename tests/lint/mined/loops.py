"""A container is iterated, or a key of it used, while another thread changes it."""

import threading


class Client:  # pychromecast 9.0.0 -> 10.0.0, socket_client.py: services come and go in another thread
    def __init__(self):
        self.services = set()
        self._thread = threading.Thread(target=self._run)

    def start(self):
        self._thread.start()

    def discovered(self, service):
        self.services.add(service)

    def removed(self, service):
        self.services.discard(service)

    def _run(self):
        return {service: 1 for service in self.services}  # bug


class Collector:  # coverage 7.1.0 -> 7.5.4, collector.py: tracers of other threads still add files
    def __init__(self):
        self.lock = threading.Lock()
        self.data = {}

    def trace(self, name, line):
        with self.lock:
            self.data.setdefault(name, set()).add(line)

    def flush(self):
        return {name: sorted(lines) for name, lines in self.data.items()}  # bug


class Bars:  # tqdm 4.9.0 -> 4.16.0: the monitor loops over bars that close meanwhile
    def __init__(self):
        self.bars = set()
        self.monitor = threading.Thread(target=self.run, daemon=True)
        self.monitor.start()

    def add(self, bar):
        self.bars.add(bar)

    def remove(self, bar):
        self.bars.discard(bar)

    def run(self):
        for bar in self.bars:  # bug
            bar.refresh()


class Bus:  # cherrypy 5.3.0 -> 6.2.1, wspbus.py: two threads make the set of one channel
    def __init__(self):
        self.listeners = {}
        self.lock = threading.Lock()

    def subscribe(self, channel, callback):
        if channel not in self.listeners:  # bug
            self.listeners[channel] = set()
        self.listeners[channel].add(callback)

    def publish(self, channel):
        with self.lock:
            return list(self.listeners.get(channel, ()))


class Tasks:  # huey 3.3.4 -> 3.5.0, api.py: workers discard tasks while the consumer takes them
    def __init__(self):
        self._running = set()
        self.worker = threading.Thread(target=self.work)
        self.worker.start()

    def work(self):
        self._running.add(1)
        self._running.discard(1)

    def interrupt(self):
        while self._running:  # bug
            self._running.pop()


class Handlers:  # python-telegram-bot 22.0 -> 22.4: handlers added while an error is handled
    def __init__(self):
        self.handlers = {}
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def add(self, handler):
        self.handlers[handler] = True

    def loop(self):
        for handler, block in self.handlers.items():  # bug
            handler(block)


class Cache:  # python-dateutil 2.6.1 -> 2.7.5, tz.py: two lists that belong together
    def __init__(self):
        self._lock = threading.Lock()
        self._dates = []
        self._zones = []

    def clear(self):
        with self._lock:
            self._dates.clear()
            self._zones.clear()

    def find(self, date):
        return self._zones[self._dates.index(date)]  # bug


class Leaser:  # google-cloud-pubsub 1.2.0, leaser.py: live keys; since 0.38.0 the one caller copies them
    def __init__(self):
        self._add_remove_lock = threading.Lock()
        self._leased_messages = {}

    @property
    def ack_ids(self):
        return self._leased_messages.keys()  # bug

    def add(self, items):
        with self._add_remove_lock:
            for item in items:
                self._leased_messages[item.ack_id] = item

    def remove(self, ack_id):
        with self._add_remove_lock:
            del self._leased_messages[ack_id]
