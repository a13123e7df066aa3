"""Which calls of the standard library order threads: the edges of happens-before.

C methods are watched where they are defined (`_core.race_hook_method`), so that every way to call them
counts. Classes written in Python get methods of ours, which tell the detector and call the original. What
such a class does inside, with locks of its own, is not what the program said: it is ignored, and replaced by
what the class promises. Otherwise a queue's mutex, say, would order everybody who ever used the queue, and
hide their races.
"""

from __future__ import annotations

import _queue
import _thread
import asyncio
import collections
import os
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from threadproof import _core

LIBRARY = os.path.dirname(os.__file__) + os.sep

# Library code that takes locks for its own ends: that two threads log does not order them.
MUTED = (
    *(
        LIBRARY + path
        for path in ("logging/", "asyncio/", "concurrent/futures/thread.py", "queue.py", "_weakrefset.py")
    ),
    *(LIBRARY + path for path in ("tempfile.py", "random.py", "importlib/", "weakref.py")),
    "<frozen importlib",
    os.path.dirname(__file__) + os.sep,
)

LOCK, RLOCK = type(_thread.allocate_lock()), type(_thread.RLock())

METHODS: list[tuple[type, str, tuple[str, ...]]] = [
    (LOCK, "acquire", ("acquire", "acquire_lock", "__enter__")),
    (LOCK, "release", ("release", "release_lock", "__exit__")),
    (RLOCK, "acquire", ("acquire", "__enter__", "_acquire_restore")),
    (RLOCK, "release", ("release", "__exit__", "_release_save")),
    (_queue.SimpleQueue, "put", ("put", "put_nowait")),
    (_queue.SimpleQueue, "get", ("get", "get_nowait")),
    (list, "change", ("append", "extend", "insert", "remove", "clear", "sort", "reverse", "pop")),
    (list, "read", ("copy", "index", "count")),
    (dict, "read_item", ("get",)),
    (dict, "store_item", ("setdefault",)),
    (dict, "change_item", ("pop",)),
    (dict, "change", ("popitem", "update", "clear")),
    (dict, "read", ("copy",)),
    (set, "change_item", ("add", "discard", "remove")),
    (set, "change", ("pop", "clear", "update")),
    (set, "read", ("copy",)),
    (
        collections.deque,
        "change",
        ("append", "appendleft", "pop", "popleft", "extend", "extendleft", "remove", "clear"),
    ),
    (collections.deque, "read", ("copy", "index", "count")),
]

# Whatever is watched dies through one of these; a class of the program's does so through its base.
MORTALS: tuple[type, ...] = (
    *(object, list, dict, set, type, BaseException, collections.deque, collections.OrderedDict),
    *(collections.defaultdict, types.CellType, types.ModuleType, LOCK, RLOCK, _queue.SimpleQueue),
)


def hook_methods() -> None:
    """Watch the methods of C types; once for the process, for there is no safe way back."""
    for owner, action, names in METHODS:
        for name in names:
            if name in vars(owner):
                _core.race_hook_method(owner, name, action)
    _core.race_forget_list_append()
    _core.race_exclude(threading._active_limbo_lock)  # type: ignore[attr-defined]


def hook_deaths() -> None:
    """Hear of the end of whatever can be watched; once for the process, too."""
    for mortal in MORTALS:
        _core.race_hook_death(mortal)


@contextmanager
def quiet() -> Iterator[None]:
    """What this thread does in here is not the program's."""
    _core.race_quiet(1)
    try:
        yield
    finally:
        _core.race_quiet(-1)


Restore = tuple[object, str, Any]


class Patches:
    """Methods of ours in classes of the standard library, and the way back."""

    def __init__(self) -> None:
        self.originals: list[Restore] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put make(original) in its place, under the name and with the words of the original."""
        original = getattr(owner, name)
        ours = make(original)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(ours, attribute, getattr(original, attribute, None))
        self.originals.append((owner, name, original))
        setattr(owner, name, ours)

    def restore(self) -> None:
        while self.originals:
            owner, name, original = self.originals.pop()
            setattr(owner, name, original)


def patch_library(patches: Patches) -> None:
    """The edges of what the standard library has in Python."""
    patch_events(patches)
    patch_semaphores(patches)
    patch_queues(patches)
    patch_asyncio(patches)


def patch_events(patches: Patches) -> None:
    """set() -> is_set() that is true; wait() takes a lock, and is ordered by that."""

    def setter(original: Any) -> Any:
        def set_event(self: threading.Event) -> None:
            _core.race_release(self)
            original(self)

        return set_event

    def getter(original: Any) -> Any:
        def is_set(self: threading.Event) -> bool:
            answer: bool = original(self)
            if answer:
                _core.race_acquire(self)
            return answer

        return is_set

    def waiter(original: Any) -> Any:
        def wait(self: threading.Event, timeout: float | None = None) -> bool:
            answer: bool = original(self, timeout)
            if answer:
                _core.race_acquire(self)
            return answer

        return wait

    patches.replace(threading.Event, "set", setter)
    patches.replace(threading.Event, "is_set", getter)
    patches.replace(threading.Event, "wait", waiter)


def called_by_library() -> bool:
    """Whether whoever called the method of ours that asks does so for ends of its own."""
    return sys._getframe(2).f_code.co_filename.startswith(MUTED)


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


def patch_queues(patches: Patches) -> None:
    """put() -> get(); get() -> the put() that had to wait for room; task_done() -> join()."""

    def putter(original: Any) -> Any:
        def put(self: Any, item: object, block: bool = True, timeout: float | None = None) -> None:
            _core.race_release(self)
            with quiet():
                original(self, item, block, timeout)
            if self.maxsize > 0:
                _core.race_acquire(self.not_full)

        return put

    def getter(original: Any) -> Any:
        def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
            with quiet():
                item = original(self, block, timeout)
            _core.race_acquire(self)
            if self.maxsize > 0:
                _core.race_release(self.not_full)
            return item

        return get

    def finisher(original: Any) -> Any:
        def task_done(self: Any) -> None:
            _core.race_release(self.all_tasks_done)
            with quiet():
                original(self)

        return task_done

    def joiner(original: Any) -> Any:
        def join(self: Any) -> None:
            with quiet():
                original(self)
            _core.race_acquire(self.all_tasks_done)

        return join

    patches.replace(queue.Queue, "put", putter)
    patches.replace(queue.Queue, "get", getter)
    patches.replace(queue.Queue, "task_done", finisher)
    patches.replace(queue.Queue, "join", joiner)


def patch_asyncio(patches: Patches) -> None:
    """Making a handle (call_soon, call_soon_threadsafe, a callback, a task's step) -> running it."""

    def maker(original: Any) -> Any:
        def __init__(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807
            _core.race_release(self)
            original(self, *arguments, **named)

        return __init__

    def runner(original: Any) -> Any:
        def _run(self: Any) -> None:
            _core.race_acquire(self)
            original(self)

        return _run

    patches.replace(asyncio.Handle, "__init__", maker)
    patches.replace(asyncio.Handle, "_run", runner)
