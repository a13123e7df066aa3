"""Event loops: whoever makes a handle comes before the run of it.

That is call_soon(), call_soon_threadsafe(), run_coroutine_threadsafe(), to_thread(), callbacks, and each step
of a task. Tasks of one loop run in one thread, and are in order anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.race.patch import Patches


def patch(patches: Patches) -> None:
    patches.around(asyncio.Handle, "__init__", making)
    patches.around(asyncio.Handle, "_run", running)


def making(handle: Any, *_: Any, **__: Any) -> Generator[None, Any]:
    _core.race_release(handle)
    yield


def running(handle: Any) -> Generator[None, Any]:
    _core.race_acquire(handle)
    yield
