import _thread
import threading


class Poller:
    def __init__(self, interval):
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        self.interval = interval  # want "set after the thread that reads it"

    def _poll(self):
        return self._pause()

    def _pause(self):
        return self.interval


class Indirect:
    def __init__(self):
        self._begin()
        self.rows = []  # want

    def _begin(self):
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()

    def _run(self):
        self.rows.append(1)


class Worker(threading.Thread):
    def __init__(self, queue):
        super().__init__()
        self.start()
        self.queue = queue  # want

    def run(self):
        self.queue.get()


class Base:
    def __init__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self.work()

    def work(self):
        pass


class Derived(Base):
    def __init__(self, name):
        super().__init__()
        self.name = name  # want

    def work(self):
        return self.name


class Fine:
    def __init__(self, interval):
        self.interval = interval
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        self.started = True

    def _poll(self):
        return self.interval


class Started:
    def __init__(self):
        _thread.start_new_thread(self.loop, ())
        self.items = []  # want "after the thread that reads it"

    def loop(self):
        return self.items
