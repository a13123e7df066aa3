import threading
from concurrent.futures import ThreadPoolExecutor


class Listener:
    def __init__(self):
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while self._receive():
            pass
        self.stop()

    def _receive(self):
        return False

    def stop(self):
        self._thread.join()  # want "runs in the thread that stop.. joins"


class Careful:
    def __init__(self):
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self.stop()

    def stop(self):
        if self._thread is not threading.current_thread():
            self._thread.join()


class Apart:
    def __init__(self):
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        pass

    def stop(self):
        self._thread.join()


class Monitor(threading.Thread):
    def __init__(self, callback):
        super().__init__()
        self.callback = callback

    def run(self):
        self.callback()

    def stop(self):
        self.join()


class Heartbeat(threading.Thread):
    def __init__(self, coordinator):
        super().__init__()
        self.coordinator = coordinator

    def run(self):
        self.coordinator.maybe_close(self.close)

    def close(self):
        self.join()  # want "run.. runs in the thread that close.. joins, and can call it"


class Coordinator:
    def __init__(self):
        self.heartbeat = Heartbeat(self)

    def maybe_close(self, close):
        close()


class Quiet(threading.Thread):
    def run(self):
        pass

    def stop(self):
        self.join()


class Refresher(threading.Thread):
    def run(self):
        pass

    def close(self):
        self.join()  # want "__del__.. may run in the thread that close.. joins"

    def close_carefully(self):
        if self is not threading.current_thread():
            self.join()

    def __del__(self):
        self.drop()

    def drop(self):
        self.join()  # its own finalizer runs after its end


class Owner:
    def __init__(self):
        self.refresher = Refresher()

    def __del__(self):
        self.refresher.close()
        self.refresher.close_carefully()


class Workers:
    def __init__(self):
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]
        self.others = []
        for _ in range(4):
            thread = threading.Thread(target=self.work)
            self.others.append(thread)

    def work(self):
        self.stop()

    def stop(self):
        for thread in self.threads:
            thread.join()  # want "can call it"
        for thread in self.others:
            thread.join()  # want "can call it"


class Pool:
    def __init__(self):
        self.pool = ThreadPoolExecutor(1)
        self.other = ThreadPoolExecutor(1)
        self.task = self.pool.submit(self.poll)

    def poll(self):
        self.other.shutdown()
        self.close()
        self.close_later()

    def close(self):
        self.pool.shutdown()  # want "can call it"

    def close_later(self):
        self.pool.shutdown(wait=False)


class Task(threading.Thread):
    def __init__(self, done):
        super().__init__()
        self.done = done

    def run(self):
        self.done()


class TaskOwner:
    def __init__(self):
        self.task = Task(self.stop)
        self.task.start()

    def stop(self):
        self.task.join()  # want "can call it"
