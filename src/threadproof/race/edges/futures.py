"""Futures: their end comes before whoever has seen it. Work reaches an executor by a SimpleQueue."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, quiet

ENDS = "set_result set_exception cancel set_running_or_notify_cancel"


def patch(patches: Patches) -> None:
    """What ended it -> result() and exception(), and done(), cancelled() and running() that have seen that.

    Callbacks, as_completed() and wait() are ordered by the locks and events that a future has inside.
    """
    patches.wrap(Future, _core.race_release, ENDS, None)
    for name in ("result", "exception"):
        patches.replace(Future, name, waiter)
    for name in ("done", "cancelled"):
        patches.replace(Future, name, asker)


def waiter(original: Any) -> Any:
    def wait(self: Any, timeout: float | None = None) -> Any:
        try:
            with quiet():
                return original(self, timeout)
        finally:
            if has_ended(self):
                _core.race_acquire(self)
            self = None  # as the original does: an exception must not keep its future alive

    return wait


def asker(original: Any) -> Any:
    def ask(self: Any) -> bool:
        with quiet():
            answer: bool = original(self)
        if answer:
            _core.race_acquire(self)
        return answer

    return ask


def has_ended(future: Any) -> bool:
    return future._state not in ("PENDING", "RUNNING")
