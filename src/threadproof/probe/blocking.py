"""The probe's work for a profiler of contention: where threads block, for whom, and where locks were made.

Nothing is instrumented, and a lock that is free costs one more test of a byte. So this is apart from Watch,
whose subscribers need every acquisition.
"""

from __future__ import annotations

import _thread

from threadproof import _core
from threadproof.probe import interceptors, watch
from threadproof.probe.selftest import check_layout, check_stack, fail


def start(user: watch.Starting) -> None:
    """Publish blocks until stop(user). UnsupportedError, SelfTestError."""
    watch.check_interpreter()
    check_layout()
    watch.configure()
    check_stack()
    interceptors.intercept_blocks()
    check_locks()
    watch.others.append(user)


def stop(user: watch.Starting) -> None:
    """What is intercepted stays so, and publishes to nobody."""
    watch.others.remove(user)


def check_locks() -> None:
    """That the state of locks is read correctly: free, held by this thread, held by another."""
    lock, reentrant = _thread.allocate_lock(), _thread.RLock()
    free, own, others = (False, False, False), (True, False, False), (True, True, False)
    compare("a free lock", lock, free)
    compare("a free RLock", reentrant, free)
    with lock, reentrant, reentrant:
        compare("a held lock", lock, others)  # a mutex does not know its thread
        compare("an RLock that this thread holds", reentrant, own)
        seen: list[tuple[bool, bool, bool]] = []
        done = _thread.allocate_lock()
        done.acquire()

        def look() -> None:
            seen.append(_core.probe.lock_state(reentrant))
            done.release()

        _thread.start_new_thread(look, ())
        done.acquire()
        if seen != [others]:
            fail(f"of an RLock that another thread holds it read {seen}")
    compare("a lock that was released", lock, free)
    compare("an RLock that was released", reentrant, free)


def compare(what: str, lock: object, wanted: tuple[bool, bool, bool]) -> None:
    if (read := _core.probe.lock_state(lock)) != wanted:
        fail(f"of {what} it read {read}")
