"""The ends of a process other than the end of its program: os._exit(), SIGTERM, a crash."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from threadproof import _core
from threadproof.probe.instrumentation import suspended


def before_quick_ends(leave: Callable[[int], int]) -> None:
    """Call `leave(exit code)` before such an end; os._exit() then has the exit code that it returns.

    Before a crash it is called by the thread that has crashed, which may fail. SIGTERM ends the process as
    ever, unless the program handles it.
    """
    _core.probe.intercept_exit(leave)
    _core.probe.intercept_crashes(lambda: leave_suspended(leave))
    if threading.current_thread() is not threading.main_thread():
        return  # it cannot set handlers
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: terminate(leave, number))


def leave_suspended(leave: Callable[[int], int]) -> None:
    with suspended():
        leave(0)


def terminate(leave: Callable[[int], int], number: int) -> None:
    leave_suspended(leave)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
