"""Keys and values with hostile user code: it runs in the middle of an operation, at a chosen event.

A `Trap` holds the act: raise, wait, use the same map, anything. A `HostileKey` springs it when it is
hashed, compared or finalized, a `HostileValue` when it is compared or finalized, `watch` when an object
dies, `springing` when a function is called. One trap can be in many of them.
"""

import gc
import weakref
from collections.abc import Callable
from threading import Thread
from typing import Any, Self

Act = Callable[[], object]


class Trap:
    """Something to do when sprung: only once it is armed, so many times, and never inside itself."""

    def __init__(self) -> None:
        self.disarm()

    def disarm(self) -> None:
        """Drop the act, with all objects that it refers to."""
        self._act: Act | None = None
        self._left = 0
        self._running = False
        self.sprung = 0

    def arm(self, act: Act, times: int = 1) -> None:
        self.disarm()
        self._act = act
        self._left = times

    def spring(self) -> None:
        act = self._act  # another thread may disarm meanwhile
        if act is None or self._running or self._left == 0:
            return
        self._left -= 1
        self.sprung += 1
        self._running = True
        try:
            act()
        finally:
            self._running = False


SAFE = Trap()
"""A trap that is never set."""


class HostileKey:
    """Equal to keys of the same number; its hash is chosen; its trap is for "hash", "eq" or "del"."""

    def __init__(self, number: int, hash_: int = 0, event: str = "", trap: Trap = SAFE) -> None:
        self.number = number
        self._hash = hash_
        self._event = event
        self._trap = trap

    def __hash__(self) -> int:
        self._when("hash")
        return self._hash

    def __eq__(self, other: object) -> bool:
        self._when("eq")
        return isinstance(other, HostileKey) and self.number == other.number

    def __del__(self) -> None:
        self._when("del")

    def __repr__(self) -> str:
        return f"key {self.number}"

    def _when(self, event: str) -> None:
        if event == self._event:
            self._trap.spring()


class HostileValue(float):
    """A number; its trap is for "eq" or "del".

    It is a float because an int of a subclass cannot be weakly referenced.
    """

    _event = ""
    _trap = SAFE

    def __new__(cls, number: float, event: str = "", trap: Trap = SAFE) -> Self:
        self = super().__new__(cls, number)
        self._event = event
        self._trap = trap
        return self

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        self._when("eq")
        return super().__eq__(other)

    def __del__(self) -> None:
        self._when("del")

    def _when(self, event: str) -> None:
        if event == self._event:
            self._trap.spring()


def watch(watched: Any, trap: Trap) -> "weakref.ref[Any]":
    """A weak reference, to be kept, whose callback springs the trap."""
    return weakref.ref(watched, lambda _: trap.spring())


def springing(function: Callable[..., Any], trap: Trap) -> Callable[..., Any]:
    """The function, springing the trap before it answers."""

    def sprung(*args: Any) -> Any:
        trap.spring()
        return function(*args)

    return sprung


# Acts


class Boom(Exception):
    """The exception of `fail`."""


def fail() -> None:
    raise Boom


def tolerant(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """The hook for exceptions that have no other way out, such as a finalizer's, but for `Boom`."""
    return lambda unraisable: unraisable.exc_type is Boom or hook(unraisable)


def collect() -> None:
    gc.collect()


def in_a_thread(act: Act) -> Act:
    """The act, done by another thread while this one waits for it."""

    def start_and_join() -> None:
        thread = Thread(target=act)
        thread.start()
        thread.join()

    return start_and_join
