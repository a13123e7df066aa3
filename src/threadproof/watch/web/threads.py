"""The stacks of all threads, without their variables."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any


def threads() -> list[dict[str, Any]]:
    """Name, number, and stack of each thread, the innermost call first. Stops all threads for an instant."""
    named = {thread.ident: thread for thread in threading.enumerate()}
    found = []
    for number, frame in sys._current_frames().items():
        thread = named.get(number)
        name, daemon = ("unknown to threading", True) if thread is None else (thread.name, thread.daemon)
        found.append({"name": name, "number": number, "daemon": daemon, "stack": stack(frame)})
    return found


def stack(frame: FrameType | None) -> list[str]:
    lines = []
    while frame is not None:
        code = frame.f_code
        lines.append(f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}")
        frame = frame.f_back
    return lines
