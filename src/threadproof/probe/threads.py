"""The threads that the program starts and joins, whichever way it starts them."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from threadproof import _core
from threadproof.probe.library.rows import Row

numbers: dict[Any, int] = {}  # a thread's handle -> its number in events


def joining(thread: Any, timeout: float | None = None) -> Generator[None, Any]:
    _core.probe.joining(thread, timeout)
    try:
        yield
    finally:
        _core.probe.joined(thread)
    join_if_done(thread._os_thread_handle)


def asking(thread: Any) -> Generator[None, bool]:
    alive = yield
    if not alive:
        join_if_done(thread._os_thread_handle)


def ending(thread: Any) -> Generator[None, Any]:
    _core.probe.publish(ends)
    yield


def counting() -> Generator[None, Any]:
    yield
    _core.probe.observe(ends)


ends = object()  # of all threads: whoever counts or lists the others sees which are over

ROWS = (
    Row("threading:Thread", "_delete", generator=ending),
    Row("threading", "active_count enumerate", generator=counting),
    Row("threading:Thread", "join", generator=joining, internal=False),
    Row("threading:Thread", "is_alive", generator=asking, internal=False),
)


def join_if_done(handle: Any) -> None:
    if handle.is_done() and handle in numbers:
        _core.probe.join_thread(numbers[handle])


def join_all_done() -> None:
    """The calling thread has joined all threads that are not daemons."""
    for handle in list(numbers):
        join_if_done(handle)


class Starts:
    """Replaces the functions that start threads, from replace() to restore()."""

    def __init__(self, starting: Callable[[], None]) -> None:
        """`starting()` is called before each start, by the thread that starts the other."""
        self.starting = starting
        self.originals: list[tuple[Any, str, Any]] = []

    def replace(self) -> None:
        if not self.originals:
            self.put(threading, "_start_joinable_thread", self.starter)
            self.put(_thread, "start_new_thread", self.bare_starter)

    def restore(self) -> None:
        while self.originals:
            setattr(*self.originals.pop())

    def put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace it by make(original), with the name and the docstring of the original."""
        original = getattr(owner, name)
        replacement = make(original)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            with suppress(AttributeError):
                setattr(replacement, attribute, getattr(original, attribute))
        self.originals.append((owner, name, original))
        setattr(owner, name, replacement)

    def create(self, name: str) -> int:
        self.starting()
        return _core.probe.create_thread(name)

    def starter(self, original: Any) -> Any:
        def start(function: Any, handle: Any = None, daemon: bool = True) -> Any:
            thread = getattr(function, "__self__", None)
            number = self.create(getattr(thread, "name", "a thread"))
            numbers[handle] = number
            return original(_core.probe.in_thread(number, function), handle=handle, daemon=daemon)

        return start

    def bare_starter(self, original: Any) -> Any:
        def start(function: Any, args: Any, kwargs: Any = None) -> Any:
            number = self.create(getattr(function, "__name__", "a thread"))
            return original(_core.probe.in_thread(number, function), args, kwargs or {})

        return start
