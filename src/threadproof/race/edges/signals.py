"""Events and semaphores: one thread says that something has happened, and another waits for that.

Conditions and barriers are made of locks, and ordered by them.
"""

from __future__ import annotations

import threading
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, called_by_library, quiet


def patch(patches: Patches) -> None:
    patch_events(patches)
    patch_semaphores(patches)


def patch_events(patches: Patches) -> None:
    """set() -> the end of wait(), is_set() that is true; not by the lock inside, which all take."""

    def setter(original: Any) -> Any:
        def set_event(self: threading.Event) -> None:
            _core.race_release(self)
            with quiet():
                original(self)

        return set_event

    def getter(original: Any) -> Any:
        def get(self: threading.Event, *arguments: Any, **named: Any) -> bool:
            with quiet():
                answer: bool = original(self, *arguments, **named)
            if answer:
                _core.race_acquire(self)
            return answer

        return get

    def clearer(original: Any) -> Any:
        def clear(self: threading.Event) -> None:
            with quiet():
                original(self)

        return clear

    patches.replace(threading.Event, "set", setter)
    patches.replace(threading.Event, "is_set", getter)
    patches.replace(threading.Event, "wait", getter)
    patches.replace(threading.Event, "clear", clearer)


def patch_semaphores(patches: Patches) -> None:
    """release() -> the acquire() that takes this permit; a semaphore of two permits is no mutex.

    The permits that are there when a semaphore is first used before our eyes come from nobody.
    """

    def acquirer(original: Any) -> Any:
        def acquire(self: Any, blocking: bool = True, timeout: float | None = None) -> bool:
            muted, initial = called_by_library(), self._value
            with quiet():
                taken: bool = original(self, blocking, timeout)
            if taken and not muted:
                _core.race_take_permit(self, initial)
            return taken

        return acquire

    def releaser(original: Any) -> Any:
        def release(self: Any, n: int = 1) -> None:
            if not called_by_library():
                _core.race_give_permits(self, self._value, n)
            with quiet():
                original(self, n)

        return release

    def leaver(original: Any) -> Any:
        def __exit__(self: Any, *error: object) -> None:  # noqa: N807
            if not called_by_library():
                _core.race_give_permits(self, self._value, 1)
            with quiet():
                original(self, *error)

        return __exit__

    patches.replace(threading.Semaphore, "acquire", acquirer)
    patches.replace(threading.Semaphore, "__enter__", acquirer)
    patches.replace(threading.Semaphore, "release", releaser)
    patches.replace(threading.BoundedSemaphore, "release", releaser)
    patches.replace(threading.Semaphore, "__exit__", leaver)
