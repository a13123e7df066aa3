"""Events and semaphores. Conditions and barriers are made of locks, which order them."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.probe.library.rows import OBSERVE_IF_TRUE, PUBLISH, Row
from threadproof.probe.scope import UNINSTRUMENTED

# A release() gives a permit, and an acquire() takes one: a semaphore of two permits is not a mutex. Permits
# that exist before the first event of a semaphore order nothing.


def permits(value: Any) -> int:
    """The semaphore's number for the native side, which counts in a machine word."""
    return min(max(value, 0), sys.maxsize) if isinstance(value, int) else 0


def acquiring(semaphore: Any, blocking: bool = True, timeout: float | None = None) -> Generator[None, bool]:
    by_library, initial = called_by_library(), permits(semaphore._value)
    taken = yield
    if taken and not by_library:
        _core.probe.take_permit(semaphore, initial)


def releasing(semaphore: Any, n: int = 1) -> Generator[None, Any]:
    yield from giving(semaphore, 0 if called_by_library() else permits(n))


def leaving(semaphore: Any, *error: object) -> Generator[None, Any]:
    yield from giving(semaphore, 0 if called_by_library() else 1)


def giving(semaphore: Any, count: int) -> Generator[None, Any]:
    """The permits are given before another thread can take them, and taken back if release() raises."""
    if not count:
        yield
        return
    _core.probe.give_permits(semaphore, permits(semaphore._value), count)
    try:
        yield
    except BaseException:
        _core.probe.withdraw_permits(semaphore, count)
        raise


def called_by_library() -> bool:
    """Whether a library called the intercepted function, for its own purposes."""
    return sys._getframe(2).f_code.co_filename.startswith(UNINSTRUMENTED)


ROWS = (
    Row("threading:Event", "set", before=(PUBLISH,), state="write"),
    Row("threading:Event", "is_set", after=(OBSERVE_IF_TRUE,), state="read"),
    Row("threading:Event", "wait", after=(OBSERVE_IF_TRUE,)),
    Row("threading:Event", "clear", state="write"),
    Row("threading:Semaphore", "acquire", generator=acquiring),  # __enter__ is the same function
    Row("threading:Semaphore", "release", generator=releasing),
    Row("threading:BoundedSemaphore", "release", generator=releasing),
    Row("threading:Semaphore", "__exit__", generator=leaving),
)
