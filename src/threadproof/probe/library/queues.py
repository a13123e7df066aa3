"""Queue, LifoQueue and PriorityQueue: a put() is ordered before the get() of that item.

In a bounded queue a get() is ordered before the put()s that found the queue full, a task_done() before the
end of join(), and a shutdown() before the calls that raise ShutDown.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.probe.library.locks import permits
from threadproof.probe.library.rows import PUBLISH, Row, Step


def putting(
    line: Any, item: object, block: bool = True, timeout: float | None = None
) -> Generator[None, Any]:
    _core.probe.send(line, item)
    try:
        yield
    except BaseException as error:
        _core.probe.unsend(line, item)
        observe_shutdown(line, error)
        raise
    if line.maxsize > 0:  # once there have been as many items as it holds, it may have had to wait
        _core.probe.take_permit(line.not_full, permits(line.maxsize), True)


def getting(line: Any, block: bool = True, timeout: float | None = None) -> Generator[None, Any]:
    if line.maxsize > 0:
        _core.probe.publish(line.not_full)
    try:
        item = yield
    except BaseException as error:
        observe_shutdown(line, error)
        raise
    _core.probe.receive(line, item)


def observe_shutdown(line: Any, error: BaseException) -> None:
    shutdown = getattr(sys.modules["queue"], "ShutDown", ())  # new in 3.13
    if isinstance(error, shutdown):
        _core.probe.observe(line)


PUBLISH_DONE, OBSERVE_DONE = Step("publish", "all_tasks_done"), Step("observe", "all_tasks_done")

ROWS = (
    Row("queue:Queue", "put", generator=putting),
    Row("queue:Queue", "get", generator=getting),
    Row("queue:Queue", "task_done", before=(PUBLISH_DONE,)),
    Row("queue:Queue", "join", after=(OBSERVE_DONE,)),
    Row("queue:Queue", "shutdown", before=(PUBLISH, PUBLISH_DONE)),
)
