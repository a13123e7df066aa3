"""The contention profiler: where threads wait, for how long, and for whom.

    from threadproof.watch import contention

    with contention.profile() as p:
        serve()
    print(p.report())

It sees locks, conditions, semaphores, events, barriers, queues, joins and futures of the standard library,
and
threadproof's own locks and computations. On free-threaded Python under Linux it also samples waits for the
interpreter's own locks of objects, stopped worlds, and objects whose reference counts several threads
change. A
lock that is free costs one test of a byte: only a thread that blocks is timed. docs/contention.md has the
details.
"""

from __future__ import annotations

from threadproof.probe import SelfTestError, UnsupportedError
from threadproof.watch.contention.report import Report
from threadproof.watch.contention.session import Profile, profile

__all__ = ["Profile", "Report", "SelfTestError", "UnsupportedError", "profile"]
