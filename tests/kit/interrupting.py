"""Ctrl-C during a wait, and an interrupt at each instruction of some code in turn."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.kit.hammer import pause


def interrupt(act: Callable[[], object], waits: Callable[[], object]) -> None:
    """Let the main thread do something that is ended by KeyboardInterrupt, once `waits()` has returned.

    A signal just before a thread goes to sleep does not wake it, so they come until one has been handled.
    """
    handled: list[bool] = []

    def handle(*_: object) -> None:
        if not handled:
            handled.append(True)
            raise KeyboardInterrupt

    def send() -> None:
        waits()
        while not handled:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            pause()

    before = signal.signal(signal.SIGINT, handle)
    sender = threading.Thread(target=send)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # it may come from the first line on
            sender.start()
            act()
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)


class Stop(BaseException):
    """An interrupt: no Exception, as KeyboardInterrupt is none."""


def stopped_at(step: int, work: Callable[[], object], inside: Callable[[str], bool]) -> bool:
    """Run `work`, interrupted at that instruction of the files `inside`; whether it had so many."""
    left = step

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if not inside(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise Stop
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Stop:
        return True
    finally:
        sys.settrace(before)
    return False
