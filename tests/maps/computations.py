"""Computations that run while a test uses the map."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.kit.hammer import PATIENCE, pause
from tests.maps.operations import Map


class Failed(Exception):
    """The exception of a computation whose outcome is a failure."""


@contextmanager
def computing(m: Map, key: Any, outcome: Any) -> Iterator[None]:
    """Another thread computes the value of `key` while the block runs, and then ends with the outcome.

    When the outcome is an exception, the computation raises it.
    """
    begun, end = threading.Event(), threading.Event()

    def fn(old: Any) -> Any:
        begun.set()
        assert end.wait(PATIENCE), "the test has hung"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def compute() -> None:
        with suppress(Failed):
            m.compute(key, fn)

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE), "fn was not called"
    try:
        yield
    finally:
        end.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "compute did not return"


def let_others_run() -> None:
    """Make it likely that other threads reach their waits. A correct map passes without this luck, too."""
    for _ in range(200):
        pause()
