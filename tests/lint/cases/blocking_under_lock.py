import threading
import time
import urllib.request


class Pages:
    def __init__(self):
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._pages = {}
        self._worker = threading.Thread(target=self._run)

    def page(self, url):
        with self._lock:
            self._pages[url] = urllib.request.urlopen(url).read()  # want "waits for the network"

    def pause(self):
        with self._lock:
            time.sleep(1)  # want "sleeps"

    def _run(self):
        with self._lock:
            self._pages.clear()

    def stop(self):
        with self._lock:
            self._worker.join()  # a deadlock, and no mere delay: that is another rule

    def stop_well(self):
        with self._lock:
            worker = self._worker
        worker.join()

    def send(self, url):
        with self._send_lock:
            urllib.request.urlopen(url)
