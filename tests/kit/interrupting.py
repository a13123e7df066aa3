"""Ctrl-C during a wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

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
