"""Threads of the program as threads of a run: a start makes a controlled thread, and no system's thread.

While an executor is active, threading.Thread.start and the functions of _thread that start threads are
replaced. Outside of a run they work as ever.
"""

from __future__ import annotations

import _thread
import contextvars
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from threadproof import _core
from threadproof.probe.instrumentation import suspended


class Unwind(BaseException):
    """Raised in the threads of a run that is over, to end them."""


class Started:
    """Stands for Thread._started. Its lock is not needed: a thread's first step comes after its start."""

    def __init__(self) -> None:
        self.set_ = False

    def is_set(self) -> bool:
        return self.set_

    def set(self) -> None:
        self.set_ = True

    def wait(self, timeout: float | None = None) -> bool:
        return True


def start_controlled(thread: Any) -> None:
    """As Thread.start, but that a worker of the explorer runs it."""
    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")
    thread._started = Started()
    threading._limbo[thread] = thread  # type: ignore[attr-defined]
    if thread._context is None:
        inherits = getattr(sys.flags, "thread_inherit_context", False)
        thread._context = contextvars.copy_context() if inherits else contextvars.Context()

    def run() -> None:
        try:
            thread._bootstrap()
        finally:
            handle._set_done()

    number, ident = _core.explore.start(run, thread)
    names[number] = thread.name
    handle = thread._os_thread_handle = _thread._make_thread_handle(ident)  # type: ignore[attr-defined]
    thread._started.set()


class BareThread:
    """Stands for a thread of _thread.start_new_thread in a run."""


def start_bare(function: Callable[..., object], args: tuple[Any, ...] = (), kwargs: Any = None) -> int:
    """As _thread.start_new_thread."""

    def run() -> None:
        try:
            function(*args, **(kwargs or {}))
        except (Unwind, SystemExit):
            pass
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))

    bare.append(BareThread())
    number, ident = _core.explore.start(run, bare[-1])
    names[number] = getattr(function, "__name__", "a thread")
    return ident


bare: list[BareThread] = []  # of this run: each has an address of its own while it is here
names: dict[int, str] = {}  # of the threads of this run, by number


class InOrder(dict[Any, None]):
    """Stands for the set of a pool's threads: a set would be gone over in the order of their addresses."""

    def add(self, thread: Any) -> None:
        self[thread] = None


def make_pools_ordered(replaced: Replaced) -> None:
    module = sys.modules.get("concurrent.futures.thread")
    if module is None:
        return
    init = module.ThreadPoolExecutor.__init__

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807 - it replaces one
        init(self, *args, **named)
        if not self._threads:
            self._threads = InOrder()

    replaced.put(module.ThreadPoolExecutor, "__init__", __init__)


class Replaced:
    """The replacement of the functions that start threads, between start() and stop()."""

    def __init__(self, in_run: Callable[[], bool], failed: Callable[[Any], None]) -> None:
        """`in_run()`: whether the calling thread is controlled. `failed` takes threading.ExceptHookArgs."""
        self.in_run = in_run
        self.failed = failed
        self.before: list[tuple[Any, str, Any]] = []

    def start(self) -> None:
        real_start, real_bare = threading.Thread.start, _thread.start_new_thread
        real_hook, real_unraisable = threading.excepthook, sys.unraisablehook

        def start(thread: threading.Thread) -> None:
            if not self.in_run():
                real_start(thread)
                return
            with suspended():
                start_controlled(thread)

        def start_new_thread(function: Any, args: Any = (), kwargs: Any = None) -> int:
            if self.in_run():
                with suspended():
                    return start_bare(function, args, kwargs)
            return real_bare(function, args, kwargs or {})

        def excepthook(args: Any) -> None:
            if not self.in_run():
                real_hook(args)
            elif not issubclass(args.exc_type, (Unwind, SystemExit)):
                with suspended():
                    self.failed(args)

        def unraisablehook(args: Any) -> None:
            # a finaliser or a callback of a weak reference in a thread that unwinds
            if not issubclass(args.exc_type, Unwind):
                with suspended():
                    real_unraisable(args)

        self.put(sys, "unraisablehook", unraisablehook)
        self.put(threading.Thread, "start", start)
        self.put(threading, "excepthook", excepthook)
        for name in ("start_new_thread", "start_new"):
            self.put(_thread, name, start_new_thread)
        make_pools_ordered(self)

    def put(self, owner: Any, name: str, value: object) -> None:
        self.before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def stop(self) -> None:
        for owner, name, value in reversed(self.before):
            setattr(owner, name, value)
        self.before.clear()


def forget_workers() -> None:
    """In a forked child, the parent's workers do not exist."""
    if hasattr(_core, "explore"):
        _core.explore.forget_workers()


os.register_at_fork(after_in_child=forget_workers)


def reset_names() -> None:
    """Threads without a name are Thread-1, Thread-2 in each run."""
    threading._counter = itertools.count(1).__next__  # type: ignore[attr-defined]
    bare.clear()
    names.clear()
    names[0] = threading.current_thread().name
