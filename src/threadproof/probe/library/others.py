"""What other packages promise. Their locks, queues and deques order as those of the program do.

twisted: a callFromThread() comes before what the reactor then runs. uvloop, an event loop in C: a
call_soon_threadsafe() comes before the callback.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from threadproof import _core
from threadproof.probe.library.rows import OBSERVE, PUBLISH, Row

ROWS = (
    Row("twisted.internet.base:ReactorBase", "callFromThread", before=(PUBLISH,), internal=False),
    Row("twisted.internet.base:ReactorBase", "runUntilCurrent", before=(OBSERVE,), internal=False),
)


class NativeLoop(NamedTuple):
    """An event loop in C, whose handles nothing can intercept: its callbacks are replaced on their way in."""

    module: str
    name: str = "Loop"

    def install(self) -> None:
        loop: Any = getattr(sys.modules[self.module], self.name)
        schedule = loop.call_soon_threadsafe

        def call_soon_threadsafe(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
            if callable(callback) and _core.probe.listening:
                scheduled = Scheduled()
                _core.probe.publish(scheduled)
                callback = _core.probe.ordered(scheduled, callback)
            return schedule(self, callback, *args, context=context)

        call_soon_threadsafe.__doc__ = schedule.__doc__
        loop.call_soon_threadsafe = call_soon_threadsafe


class Scheduled:
    """One call of call_soon_threadsafe()."""


LOOPS = (NativeLoop("uvloop"), NativeLoop("winloop"))
