"""What a class or function promises about threads, for the linter to check. At run time these do nothing.

    class Account:
        balance: Annotated[int, GuardedBy("_lock")]

        @requires_lock("_lock")
        def _add(self, n: int) -> None: ...

`threadproof lint` reports a use of `balance` outside of `with self._lock`, and a call of `_add` without it.
Comments do the same where an import is unwanted: `self.balance = 0  # threadproof: guarded_by(_lock)`.

Nothing here imports anything of threadproof, and nothing takes time when the annotated code runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = [
    "GuardedBy",
    "confined",
    "functional",
    "immutable_after_init",
    "requires_lock",
    "thread_safe",
]

T = TypeVar("T")


@dataclass(frozen=True)
class GuardedBy:
    """In `Annotated`: the attribute is only used while the lock of this name, an attribute too, is held."""

    lock: str


def requires_lock(lock: str) -> Callable[[T], T]:
    """The caller of this method holds `self.<lock>`."""
    return unchanged


def confined(thread: str) -> Callable[[T], T]:
    """This function, or the objects of this class, are only used by one thread, such as "main"."""
    return unchanged


def functional(function: T) -> T:
    """This function returns equal values for equal arguments: computing one twice does no harm."""
    return function


def thread_safe(cls: T) -> T:
    """Objects of this class are made to be shared by threads: their attributes are checked as such."""
    return cls


def immutable_after_init(cls: T) -> T:
    """No attribute of such an object changes once `__init__` has returned, so that reading needs no lock."""
    return cls


def unchanged(annotated: T) -> T:
    return annotated
