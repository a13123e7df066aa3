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
