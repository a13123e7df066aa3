"""The threads that the program joins. Their starts are intercepted in src/ext/probe/threads.cpp."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.probe.library.rows import Row


def joining(thread: Any, timeout: float | None = None) -> Generator[None, Any]:
    _core.probe.joining(thread, timeout)
    try:
        yield
    finally:
        _core.probe.joined(thread)
    if thread._os_thread_handle.is_done():
        _core.probe.join_thread(thread._os_thread_handle)


def asking(thread: Any) -> Generator[None, bool]:
    alive = yield
    if not alive and thread._os_thread_handle.is_done():
        _core.probe.join_thread(thread._os_thread_handle)


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
    Row("threading:Thread", "is_alive", generator=asking, internal=False, state="read"),
)
