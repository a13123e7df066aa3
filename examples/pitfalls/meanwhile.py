"""What the pitfalls share: another thread that acts at a chosen moment, and a report of what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable


def meanwhile(act: Callable[[], object]) -> None:
    """Let another thread act while this one stands still here, as a thread that lost its processor does.

    What the other thread raises is raised here.
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
    """Run each version and print what came of it. A version keeps its promise, or it raises."""
    for version in versions:
        try:
            version()
            print(f"{version.__name__}: holds")
        except Exception as error:
            print(f"{version.__name__}: {type(error).__name__}: {error}")
