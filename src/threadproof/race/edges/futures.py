"""Futures: their end comes before whoever has seen it. Work reaches an executor by a SimpleQueue."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, quiet


def patch(patches: Patches) -> None:
    """What ended it -> result() and exception(), and done(), cancelled() and running() that have seen that.

    Callbacks, as_completed() and wait() are ordered by the locks and events that a future has inside.
    """
    for name in ("set_result", "set_exception", "cancel", "set_running_or_notify_cancel"):
        patches.around(Future, name, ending)
    for name in ("result", "exception"):
        patches.around(Future, name, waiting)
    for name in ("done", "cancelled"):
        patches.around(Future, name, asking)


def ending(future: Any, *_: Any, **__: Any) -> Generator[None, Any]:
    _core.race_release(future)
    yield


def waiting(future: Any, timeout: float | None = None) -> Generator[None, Any]:
    try:
        with quiet():
            yield
    finally:
        if has_ended(future):
            _core.race_acquire(future)


def asking(future: Any) -> Generator[None, bool]:
    with quiet():
        answer = yield
    if answer:
        _core.race_acquire(future)


def has_ended(future: Any) -> bool:
    return future._state not in ("PENDING", "RUNNING")
