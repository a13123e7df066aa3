"""Futures: the end of one is ordered before every call that has seen it ended.

Callbacks, as_completed() and wait() are ordered by the locks and events inside a future; work reaches an
executor by a SimpleQueue.
"""

from __future__ import annotations

from typing import Any

from threadproof.probe.library.rows import OBSERVE_IF_TRUE, PUBLISH, Row, Step


def has_ended(future: Any) -> bool:
    return future._state not in ("PENDING", "RUNNING")


FUTURE = "concurrent.futures._base:Future"
ENDS = "set_result set_exception cancel set_running_or_notify_cancel"

ROWS = (
    Row(FUTURE, ENDS, before=(PUBLISH,), internal=False),
    Row(FUTURE, "result exception", after=(Step("observe", condition=has_ended),), always=True),
    Row(FUTURE, "done cancelled", after=(OBSERVE_IF_TRUE,)),
)
