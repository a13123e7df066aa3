"""The standard library's functions in which a thread waits, as data: for what, and at which object.

A thread blocks at a lock of CPython, in a method of C. These rows say what the program has called. Where
several
are in the stack, the innermost one says whether the thread waits for another thread's step, or only for a
lock of the object; and the outermost one names the object, which is its first argument.
"""

from __future__ import annotations

from typing import NamedTuple

from threadproof.probe.scope import LIBRARY, PACKAGE


class WaitRow(NamedTuple):
    """Some functions of one file. `path`: the attributes from the object to a lock that was made with it."""

    file: str
    functions: str
    kind: str
    path: tuple[str, ...] = ()
    waits: bool = True
    names: bool = True


THREADING, QUEUE = LIBRARY + "threading.py", LIBRARY + "queue.py"
FUTURES, EXECUTOR = LIBRARY + "concurrent/futures/_base.py", LIBRARY + "concurrent/futures/thread.py"
LOGGING, ONCE = LIBRARY + "logging/__init__.py", PACKAGE + "sync/once.py"

CONDITION, INNER = ("_lock",), ("_cond", "_lock")

WAITS = (
    WaitRow(THREADING, "Condition.wait Condition.wait_for", "Condition", CONDITION),
    WaitRow(THREADING, "Condition.__enter__ Condition._acquire_restore", "Condition", CONDITION, waits=False),
    WaitRow(THREADING, "Semaphore.acquire", "Semaphore", INNER),
    WaitRow(THREADING, "Semaphore.release BoundedSemaphore.release", "Semaphore", INNER, waits=False),
    WaitRow(THREADING, "Event.wait", "Event", INNER),
    WaitRow(THREADING, "Event.set Event.clear", "Event", INNER, waits=False),
    WaitRow(THREADING, "Barrier.wait Barrier._enter Barrier._wait", "Barrier", INNER),
    WaitRow(THREADING, "Thread.join", "Thread", ("_started", *INNER)),
    WaitRow(THREADING, "Thread.start", "Thread", ("_started", *INNER)),
    WaitRow(QUEUE, "Queue.get Queue.put Queue.join", "Queue", ("mutex",)),
    WaitRow(QUEUE, "Queue.task_done Queue.qsize Queue.empty Queue.full", "Queue", ("mutex",), waits=False),
    WaitRow(FUTURES, "Future.result Future.exception", "Future", ("_condition", "_lock")),
    WaitRow(
        FUTURES,
        "Future.set_result Future.set_exception Future.done",
        "Future",
        ("_condition", "_lock"),
        waits=False,
    ),
    WaitRow(FUTURES, "wait as_completed", "futures", names=False),
    WaitRow(EXECUTOR, "_worker", "idle worker", names=False),
    WaitRow(LOGGING, "Handler.acquire Handler.handle", "Handler", ("lock",), waits=False),
    WaitRow(LOGGING, "_acquireLock", "logging", waits=False, names=False),
    WaitRow(ONCE, "Once.run Once._run Once._wait", "Once"),
    WaitRow(ONCE, "OnceFunction.__call__ Lazy.get", "Once"),
)


def rows() -> list[tuple[str, str, str, str, tuple[str, ...], bool, bool]]:
    """As _core.contention takes them: a row for each function, with the step that its name says."""
    return [
        (row.file, function, row.kind, function.rpartition(".")[2], row.path, row.waits, row.names)
        for row in WAITS
        for function in row.functions.split()
    ]
