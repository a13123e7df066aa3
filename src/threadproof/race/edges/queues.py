"""Queue, LifoQueue and PriorityQueue: an item takes along what its sender did before it sent it.

Not by the mutex inside, which would order everybody who ever used the queue. SimpleQueue is in C, and stands
in the table of race/patch.py.
"""

from __future__ import annotations

import queue
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, quiet

ShutDown: Any = getattr(queue, "ShutDown", ())  # new in 3.13


def patch(patches: Patches) -> None:
    """put() -> the get() of this item; get() -> a put() that had to wait for room; task_done() -> join()."""
    patches.replace(queue.Queue, "put", putter)
    patches.replace(queue.Queue, "get", getter)
    patches.replace(queue.Queue, "task_done", finisher)
    patches.replace(queue.Queue, "join", joiner)
    if ShutDown:
        patches.replace(queue.Queue, "shutdown", shutter)


def putter(original: Any) -> Any:
    def put(self: Any, item: object, block: bool = True, timeout: float | None = None) -> None:
        _core.race_send(self, item)
        try:
            with quiet():
                original(self, item, block, timeout)
        except BaseException as error:
            _core.race_unsend(self, item)
            see_shutdown(self, error)
            raise
        if self.maxsize > 0 and not _core.race_take_permit(self.not_full, self.maxsize):
            _core.race_acquire(self.not_full)  # it may have had to wait

    return put


def getter(original: Any) -> Any:
    def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        if self.maxsize > 0:
            _core.race_release(self.not_full)
        try:
            with quiet():
                item = original(self, block, timeout)
        except BaseException as error:
            see_shutdown(self, error)
            raise
        _core.race_receive(self, item)
        return item

    return get


def see_shutdown(line: Any, error: BaseException) -> None:
    if isinstance(error, ShutDown):
        _core.race_acquire(line)


def shutter(original: Any) -> Any:
    def shutdown(self: Any, immediate: bool = False) -> None:
        _core.race_release(self)
        _core.race_release(self.all_tasks_done)
        with quiet():
            original(self, immediate)

    return shutdown


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
