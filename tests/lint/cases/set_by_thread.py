import queue
import subprocess
import threading
from asyncio import new_event_loop


class Monitor(threading.Thread):
    def run(self):
        self._process = subprocess.Popen(["tail", "-f", "log"])
        self._process.wait()

    def stop(self):
        self._process.terminate()  # want "set by a thread"


class Portal:
    def __init__(self):
        self._loop = None

    def begin(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self._loop = new_event_loop()
        self._loop.run_forever()

    def call(self, function):
        self._loop.call_soon_threadsafe(function)  # want


class Ready(threading.Thread):
    def __init__(self):
        super().__init__()
        self._ready = threading.Event()

    def run(self):
        self._process = subprocess.Popen(["tail", "-f", "log"])
        self._ready.set()

    def stop(self):
        self._ready.wait()
        self._process.terminate()


class WaitsAtStart:
    def begin(self):
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self):
        self._loop = new_event_loop()
        self._started.set()
        self._loop.run_forever()

    def call(self, function):
        self._loop.call_soon_threadsafe(function)


class Tests(threading.Thread):
    def run(self):
        self._process = subprocess.Popen(["tail", "-f", "log"])

    def stop(self):
        if self._process is not None:
            self._process.terminate()


class MadeBefore(threading.Thread):
    def __init__(self):
        super().__init__()
        self._jobs = queue.Queue()
        self._process = subprocess.Popen(["cat"])

    def run(self):
        self._process = subprocess.Popen(["cat"])

    def stop(self):
        self._process.terminate()
