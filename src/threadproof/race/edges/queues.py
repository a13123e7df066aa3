"""Queue, LifoQueue and PriorityQueue: an item takes along what its sender did before it sent it.

Not by the mutex inside, which would order everybody who ever used the queue. SimpleQueue is in C, and stands
in the table of race/patch.py.
"""

from __future__ import annotations

import queue
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches, quiet

ShutDown: Any = getattr(queue, "ShutDown", ())  # new in 3.13


def patch(patches: Patches) -> None:
    """put() -> the get() of this item; get() -> a put() that had to wait for room; task_done() -> join()."""
    patches.around(queue.Queue, "put", putting)
    patches.around(queue.Queue, "get", getting)
    patches.around(queue.Queue, "task_done", finishing)
    patches.around(queue.Queue, "join", joining)
    if ShutDown:
        patches.around(queue.Queue, "shutdown", shutting)


def putting(
    line: Any, item: object, block: bool = True, timeout: float | None = None
) -> Generator[None, Any]:
    _core.race_send(line, item)
    try:
        with quiet():
            yield
    except BaseException as error:
        _core.race_unsend(line, item)
        see_shutdown(line, error)
        raise
    if line.maxsize > 0 and not _core.race_take_permit(line.not_full, line.maxsize):
        _core.race_acquire(line.not_full)  # it may have had to wait


def getting(line: Any, block: bool = True, timeout: float | None = None) -> Generator[None, Any]:
    if line.maxsize > 0:
        _core.race_release(line.not_full)
    try:
        with quiet():
            item = yield
    except BaseException as error:
        see_shutdown(line, error)
        raise
    _core.race_receive(line, item)


def see_shutdown(line: Any, error: BaseException) -> None:
    if isinstance(error, ShutDown):
        _core.race_acquire(line)


def shutting(line: Any, immediate: bool = False) -> Generator[None, Any]:
    _core.race_release(line)
    _core.race_release(line.all_tasks_done)
    with quiet():
        yield


def finishing(line: Any) -> Generator[None, Any]:
    _core.race_release(line.all_tasks_done)
    with quiet():
        yield


def joining(line: Any) -> Generator[None, Any]:
    with quiet():
        yield
    _core.race_acquire(line.all_tasks_done)
