"""Helpers of all pitfalls: run another thread at a chosen moment, and report the outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable


def meanwhile(act: Callable[[], object]) -> None:
    """Run `act` in another thread and wait for it, as if the scheduler had preempted this thread here.

    An exception of the other thread is raised here.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def report(*versions: Callable[[], None]) -> None:
    """Run each version and print the outcome. A version keeps its promise, or it raises."""
    for version in versions:
        try:
            version()
            print(f"{version.__name__}: holds")
        except Exception as error:
            print(f"{version.__name__}: {type(error).__name__}: {error}")
