"""Event loops: whoever makes a handle comes before the run of it.

That is call_soon(), call_soon_threadsafe(), run_coroutine_threadsafe(), to_thread(), callbacks, and each step
of a task. Tasks of one loop run in one thread, and are in order anyway.
"""

from __future__ import annotations

import asyncio

from threadproof import _core
from threadproof.race.patch import Patches


def patch(patches: Patches) -> None:
    patches.wrap(asyncio.Handle, _core.race_release, "__init__", None)
    patches.wrap(asyncio.Handle, _core.race_acquire, "_run", None)
