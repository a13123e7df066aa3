"""The threads of caches: one that removes what has expired, and some that load old values again.

They are daemons, are started when they have work, and end when they have none.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["expire_in_background", "run_in_background"]

log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds: how long an expired value of an idle cache may keep its memory
IDLE = 5.0  # seconds: starting a thread takes 100 us, and a value is loaded again after seconds or more
WORKERS = 8  # loaders that wait for one server at a time; others queue


class Expiring(Protocol):
    """What the thread needs of a cache."""

    def _expire(self) -> float | None: ...


class Sweeper:
    """Removes what has expired from all caches that are alive, in one thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.caches: dict[int, weakref.ref[Any]] = {}
        self.thread: threading.Thread | None = None
        self.stopped = threading.Event()

    def add(self, cache: Expiring) -> None:
        number = id(cache)
        caches = self.caches
        with self.lock:
            caches[number] = weakref.ref(cache, lambda ref: forget(caches, number, ref))
            self._start()

    def _start(self) -> None:
        if self.thread is None and not self.stopped.is_set():
            self.thread = threading.Thread(target=self._run, name="threadproof-cache-expiry", daemon=True)
            self.thread.start()

    def _run(self) -> None:
        while not self.stopped.wait(PERIOD):
            for ref in list(self.caches.values()):
                sweep(ref)
            with self.lock:
                if not self.caches:
                    self.thread = None
                    return

    def continue_in_child(self) -> None:
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread = None
        with self.lock:
            if self.caches:
                self._start()


def forget(caches: dict[int, weakref.ref[Any]], number: int, ref: weakref.ref[Any]) -> None:
    """The cache has gone; another may have its id already."""
    if caches.get(number) is ref:
        del caches[number]


def sweep(ref: weakref.ref[Any]) -> None:
    cache = ref()
    if cache is None:
        return
    try:
        cache._expire()
    except BaseException:  # of a listener, too: there is no caller here, and other caches are next
        log.exception("removing what has expired from a %s raised", type(cache).__name__)


class Workers:
    """Runs functions that do not raise, each in one of a few threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.count = self.waiting = 0

    def run(self, fn: Callable[[], object]) -> None:
        with self.lock:
            self.work.put(fn)
            if self.work.qsize() > self.waiting and self.count < WORKERS:
                self.count += 1
                threading.Thread(target=self._run, name="threadproof-cache-refresh", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self.lock:
                self.waiting += 1
            try:
                fn = self.work.get(timeout=IDLE)
            except queue.Empty:
                with self.lock:
                    self.waiting -= 1
                    if self.work.empty():
                        self.count -= 1
                        return
                continue
            with self.lock:
                self.waiting -= 1
            fn()
            del fn  # not until the next one: it keeps a cache alive

    def continue_in_child(self) -> None:
        self.__init__()  # type: ignore[misc]


sweeper = Sweeper()
workers = Workers()

expire_in_background = sweeper.add
run_in_background = workers.run


def continue_in_child() -> None:
    sweeper.continue_in_child()
    workers.continue_in_child()


os.register_at_fork(after_in_child=continue_in_child)
atexit.register(lambda: sweeper.stopped.set())  # not a bound method: a child has another event
