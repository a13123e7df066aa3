"""Events and semaphores: one thread says that something has happened, and another waits for that.

Conditions and barriers are made of locks, and ordered by them.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, called_by_library, quiet


def patch(patches: Patches) -> None:
    patches.around(threading.Event, "set", setting)
    patches.around(threading.Event, "is_set", looking)
    patches.around(threading.Event, "wait", looking)
    patches.around(threading.Event, "clear", clearing)
    patches.around(threading.Semaphore, "acquire", acquiring)  # __enter__ is the same function
    patches.around(threading.Semaphore, "release", releasing)
    patches.around(threading.BoundedSemaphore, "release", releasing)
    patches.around(threading.Semaphore, "__exit__", leaving)


# --- set() -> the end of wait(), is_set() that is true; not by the lock inside, which all take


def setting(event: threading.Event) -> Generator[None, Any]:
    _core.race_release(event)
    with quiet():
        yield


def looking(event: threading.Event, timeout: float | None = None) -> Generator[None, bool]:
    with quiet():
        answer = yield
    if answer:
        _core.race_acquire(event)


def clearing(event: threading.Event) -> Generator[None, Any]:
    with quiet():
        yield


# --- release() -> the acquire() that takes this permit; a semaphore of two permits is no mutex.
# The permits that are there when a semaphore is first used before our eyes come from nobody.


def acquiring(semaphore: Any, blocking: bool = True, timeout: float | None = None) -> Generator[None, bool]:
    muted, initial = called_by_library(), semaphore._value
    with quiet():
        taken = yield
    if taken and not muted:
        _core.race_take_permit(semaphore, initial)


def releasing(semaphore: Any, n: int = 1) -> Generator[None, Any]:
    if not called_by_library():
        _core.race_give_permits(semaphore, semaphore._value, n)
    with quiet():
        yield


def leaving(semaphore: Any, *error: object) -> Generator[None, Any]:
    if not called_by_library():
        _core.race_give_permits(semaphore, semaphore._value, 1)
    with quiet():
        yield
