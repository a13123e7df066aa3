"""Event loops: the creation of a handle is ordered before its run.

That covers call_soon(), call_soon_threadsafe(), run_coroutine_threadsafe(), to_thread(), callbacks, and each
step of a task. The tasks of one loop run in one thread, and are in order anyway.
"""

from __future__ import annotations

from threadproof.probe.library.rows import OBSERVE, PUBLISH, Row

ROWS = (
    Row("asyncio.events:Handle", "__init__", before=(PUBLISH,), internal=False),
    Row("asyncio.events:Handle", "_run", before=(OBSERVE,), internal=False),
)
