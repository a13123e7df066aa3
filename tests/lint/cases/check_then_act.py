import threading


class Sessions:
    def __init__(self):
        self._lock = threading.Lock()
        self._sessions = {}
        self._idle = []

    def add(self, key, session):
        with self._lock:
            self._sessions[key] = session
            self._idle.append(key)

    def reap(self, key):
        if key in self._sessions:  # want "may be gone"
            del self._sessions[key]

    def two_sections(self, key):
        with self._lock:
            known = key in self._sessions  # want
        if known:
            with self._lock:
                return self._sessions[key]
        return None

    def fine(self, key):
        with self._lock:
            if key in self._sessions:
                del self._sessions[key]
        return self._sessions.pop(key, None)

    def caught(self, key):
        if key in self._sessions:
            try:
                return self._sessions[key]
            except KeyError:
                return None
        return None

    def _reap_locked(self, key):
        if key in self._sessions:
            del self._sessions[key]


jobs = []


def worker():
    while jobs:  # want
        jobs.pop()


for _ in range(3):
    threading.Thread(target=worker).start()


class TestedAgain:
    def __init__(self):
        self._lock = threading.Lock()
        self._closed = False
        self._items = []

    def add(self, item):
        if self._closed:
            return
        with self._lock:
            if self._closed:
                return
            self._items.append(item)

    def close(self):
        with self._lock:
            self._closed = True
            for item in self._items:
                item.close()


class AnswerFuture:
    def __init__(self):
        self._lock = threading.Lock()
        self._result = None
        self._callback = None
        self._errback = None

    def set(self, result):
        with self._lock:
            self._result = result
        if self._callback:
            self._callback(result)
        if self._errback:
            self._errback(result)

    def then(self, callback):
        if self._result is not None:  # want "may come too late"
            callback(self._result)
        else:
            self._callback = callback

    def otherwise(self, callback):
        with self._lock:
            if self._result is None:
                self._errback = callback
                return
        callback(self._result)


class Names:
    def __init__(self, watcher):
        self._lock = threading.RLock()
        self._names = {}
        threading.Thread(target=self.watch, args=(watcher,)).start()

    def watch(self, watcher):
        for name in watcher:
            self.remove(name)

    def remove(self, name):
        if name in self._names:  # want "another thread can remove it"
            with self._lock:
                del self._names[name]

    def add(self, name, value):
        with self._lock:
            self._names[name] = value


class Options:
    def __init__(self):
        self._connected = False
        self._host = ""
        threading.Thread(target=self._run).start()

    def _run(self):
        self._connected = True
        print(self._host)

    def change(self, host):
        if self._connected:
            raise RuntimeError("too late")  # tells of a mistake, and lets nothing be missed
        self._host = host


class TwoThings:
    def __init__(self):
        self._uploads = []
        self._uploads_lock = threading.Lock()  # of the uploads, and of nothing else
        self.buckets = {}

    def add(self, upload):
        with self._uploads_lock:
            self._uploads.append(upload)

    def keep(self, name, bucket):
        self.buckets[name] = bucket

    def drop(self, name):
        if name in self.buckets:
            del self.buckets[name]


class Slots:
    def __init__(self):
        self._lock = threading.Lock()
        self._taken = 0
        self._right = 0

    def take(self):
        if self._taken >= 3:  # want "may have changed between"
            return False
        with self._lock:
            self._taken += 1
        return True

    def take_right(self):
        with self._lock:
            if self._right >= 3:
                return False
            self._right += 1
        return True

    def give(self):
        with self._lock:
            self._taken -= 1
            self._right -= 1


class Meta(type):
    _instances = {}

    def __call__(cls, *args):
        if cls not in cls._instances:  # want "may have come"
            cls._instances[cls] = super().__call__(*args)
        return cls._instances[cls]


class Cleaner(threading.Thread):
    def __init__(self):
        super().__init__()
        self.unreachable = {}

    def run(self):
        for name in names():
            if name in self.unreachable:
                del self.unreachable[name]
            else:
                self.unreachable[name] = 1


class Requests:
    def __init__(self):
        self._lock = threading.Lock()
        self._requests = {}

    def add(self, key):
        with self._lock:
            self._requests[key] = 1

    def done(self, key):
        with self._lock:
            self._requests.pop(key)

    def clean(self, keys):
        if not self._requests:
            return
        with self._lock:
            for key in keys:
                if self._requests[key]:
                    del self._requests[key]
