import threading
from concurrent.futures import ThreadPoolExecutor


class Pages:
    def __init__(self):
        self._lock = threading.Lock()
        self._pages = {}
        self._pool = ThreadPoolExecutor()
        self._worker = threading.Thread(target=self._run)

    def _run(self):
        with self._lock:
            self._pages.clear()

    def stop(self):
        with self._lock:
            self._worker.join()  # want "which _run.. needs"

    def stop_well(self):
        with self._lock:
            worker = self._worker
        worker.join()

    def stop_for_a_while(self):
        with self._lock:
            self._worker.join(1.0)

    def start(self):
        self._pool.submit(self._run)

    def end(self):
        with self._lock:
            self._pool.shutdown()  # want "which _run.. needs"


class Refresher(threading.Thread):
    def __init__(self, view: "View"):
        super().__init__()
        self.view = view
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(1):
            with self.view.lock:
                self.view.show()


class View:
    def __init__(self):
        self.lock = threading.Lock()
        self.refresher = Refresher(self)
        self.refresher.start()

    def show(self):
        print(self)

    def stop(self):
        with self.lock:
            self.refresher.done.set()
            self.refresher.join()  # want "while self.lock is held"

    def stop_right(self):
        with self.lock:
            self.refresher.done.set()
        self.refresher.join()


class Tasks:
    def __init__(self):
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(2)

    def add(self):
        self.pool.submit(self.task)

    def task(self):
        with self.lock:
            pass

    def close(self):
        with self.lock:
            self.pool.shutdown(wait=True)  # want "while self.lock is held"

    def close_right(self):
        with self.lock:
            self.pool.shutdown(wait=False)
