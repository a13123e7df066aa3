"""The standard library's functions that order threads, as data: one file for each part, with a table ROWS.

Locks, SimpleQueue and atomics are C types, and have a table in probe/interceptors.py.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any, Protocol

from threadproof import _core
from threadproof.probe.library import (
    caches,
    consuming,
    futures,
    lifetimes,
    locks,
    loggers,
    loops,
    others,
    queues,
    transfers,
)
from threadproof.probe.library.rows import Row

ROWS: tuple[Row, ...] = (
    *locks.ROWS,
    *queues.ROWS,
    *futures.ROWS,
    *loops.ROWS,
    *lifetimes.ROWS,
    *loggers.ROWS,
    *others.ROWS,
)


class Pending(Protocol):
    """What is installed once its module has been imported."""

    @property
    def module(self) -> str: ...
    def install(self) -> None: ...


pending: list[Pending] = [*ROWS, *consuming.ROWS, *others.LOOPS]  # their module has not been imported yet
following = False  # whether imports are intercepted
transferring = False  # whether sockets, pipes and files are


def install() -> None:
    """Intercept the functions of all rows, each as soon as its module has been imported."""
    global following
    install_imported()
    caches.install()
    if not following:
        following = True
        Row("importlib._bootstrap", "_find_and_load", generator=loading, internal=False).install()


def add(row: Pending) -> None:
    """One more function to intercept, now or when its module has been imported."""
    pending.append(row)
    install()


def order_bytes(wanted: bool) -> None:
    """Whether bytes that are read come after all that were written before, from now on."""
    global transferring
    if wanted and not transferring:
        transferring = True
        pending.extend(transfers.ROWS)
        install()
    _core.probe.order_bytes(transfers.ALL_BYTES if wanted else None)


def install_imported() -> None:
    for row in list(pending):
        if is_imported(row.module):
            pending.remove(row)
            row.install()


def is_imported(name: str) -> bool:
    """Whether the module's top level has run: another one may be imported in the midst of it."""
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def loading(name: str, import_: object) -> Generator[None, Any]:
    """The import of one module."""
    yield
    if any(row.module == name for row in pending):
        install_imported()
