"""Once, once and Lazy: functions that run exactly once, however many threads call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from time import monotonic
from typing import Generic, TypeVar

from threadproof._core import AtomicInt, AtomicReference, Reservation, call_into, is_async, probe
from threadproof.missing import MISSING, Missing
from threadproof.stats import Stats, counter, gauge

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OnceStats(Stats):
    """Whether it is done, and how often that was tried."""

    done: bool = field(metadata=gauge("boolean", "whether there is a result"))
    runs: int = field(metadata=counter("runs", "times that a function began; all but the last have failed"))
    waits: int = field(metadata=counter("waits", "times that a thread waited for another one's run"))


class Attempt(Generic[T]):
    """One run of a function: the reservation that others wait for, and a result, an error, or neither."""

    __slots__ = ("error", "reservation", "result")

    result: T | Missing
    error: Exception | None

    def __init__(self, owner: object) -> None:
        self.result = MISSING
        self.error = None
        self.reservation = Reservation(owner)


class Once(Generic[T]):
    """A function that runs exactly once.

    The first `run` calls its function; a `run` that comes meanwhile waits for it; and every later one returns
    the result without waiting. `fn` runs with no lock held.

    If `fn` raises an Exception, that reaches its caller and all threads that wait for it then; it is not
    kept, and the next `run` tries again. An exception that is meant for one thread, such as
    KeyboardInterrupt, reaches only the caller, and one of the waiting threads tries instead. A function that
    has returned never runs again: an interrupt after that reaches the caller, and the result stays.
    DeadlockError for a function that runs its own Once, and for threads whose functions wait for each other.

    In a forked child, a result stays; the run of another thread of the parent begins anew.
    """

    __slots__ = ("__weakref__", "_attempt", "_runs", "_waits", "name")

    def __init__(self, name: str = "") -> None:
        """An empty Once; `name` is for its repr."""
        self.name = name
        self._attempt: AtomicReference[Attempt[T] | None] = AtomicReference(None)
        self._runs = 0  # written by the thread whose attempt is in place, and so by one at a time
        self._waits = AtomicInt()

    def run(self, fn: Callable[[], T], timeout: float | None = None) -> T:
        """The result of the one run: of `fn`, if there is none yet. TypeError for an async function.

        May wait for another thread's function; TimeoutError if it takes longer than `timeout` seconds.
        """
        attempt = self._attempt.load()
        if attempt is not None and attempt.result is not MISSING:
            if probe.listening:
                probe.observe(self)
            return attempt.result
        result = self._run(fn, _deadline(timeout))
        probe.observe(self)
        return result

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        attempt = self._attempt.load()
        done = attempt is not None and attempt.result is not MISSING
        if done and probe.listening:
            probe.observe(self)
        return done

    def stats(self) -> OnceStats:
        """Whether it is done, and how often functions were called and waited for."""
        return OnceStats(self.done, self._runs, self._waits.load())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _run(self, fn: Callable[[], T], deadline: float | None) -> T:
        while True:
            seen = self._attempt.load()
            result = self._begin(fn) if seen is None else self._wait(seen, deadline)
            if result is not MISSING:
                return result

    def _begin(self, fn: Callable[[], T]) -> T | Missing:
        """The result of fn; MISSING, and fn is not called, if another thread has begun."""
        _refuse_async("Once.run()", fn)
        mine: Attempt[T] = Attempt(self)
        try:
            if self._attempt.compare_exchange(None, mine):
                self._runs += 1
                self._call(fn, mine)
            return mine.result
        except Exception as error:
            mine.error = error
            raise
        finally:
            mine.reservation.end()  # first: if a signal interrupts here, a waiting thread removes the attempt
            self._remove_failed(mine)

    def _call(self, fn: Callable[[], T], attempt: Attempt[T]) -> None:
        """Set the result to fn(), after all runs that failed before, and before all that follows."""
        if probe.listening:
            probe.observe(self)
        call_into(attempt, "result", fn, self)

    def _wait(self, attempt: Attempt[T], deadline: float | None) -> T | Missing:
        """The result of the attempt; MISSING if it was interrupted, or its thread is not in this process."""
        if attempt.result is MISSING:
            self._waits.fetch_add()
            attempt.reservation.wait(None if deadline is None else max(0, deadline - monotonic()))
        self._remove_failed(attempt)
        if attempt.error is not None:
            if probe.listening:
                probe.observe(self)
            raise attempt.error
        return attempt.result

    def _remove_failed(self, attempt: Attempt[T]) -> None:
        """Let the next thread try, if the attempt has ended without a result."""
        if attempt.result is MISSING:
            self._attempt.compare_exchange(attempt, None)


class OnceFunction(Generic[T]):
    """A function without parameters that runs once; see `once`."""

    def __init__(self, fn: Callable[[], T]) -> None:
        update_wrapper(self, fn)
        self._fn = fn
        self._once: Once[T] = Once(_name_of(fn))

    def __call__(self) -> T:
        """The result of the one run; waits if another thread is running it. See `Once.run`."""
        return self._once.run(self._fn)

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self._once.done

    def stats(self) -> OnceStats:
        """Whether it is done, and how often the function was called and waited for."""
        return self._once.stats()


def once(fn: Callable[[], T]) -> OnceFunction[T]:
    """Let a function run once, at the first call; every other call returns the same result.

    Waiting, exceptions, recursion and forks are as in `Once`: a call that raises does not count.
    """
    _refuse_async("once()", fn)
    needed = [name for name, each in inspect.signature(fn).parameters.items() if _is_needed(each)]
    if needed:
        raise TypeError(
            f"once() wants a function without parameters, and {_name_of(fn)} needs {', '.join(needed)}; "
            "for one result per argument, use compute_if_absent() of a map"
        )
    return OnceFunction(fn)


class Lazy(Generic[T]):
    """A value that is made once, at its first use.

    Waiting, exceptions, recursion and forks are as in `Once`: a function that raises is tried again.
    """

    __slots__ = ("__weakref__", "_fn", "_once")

    def __init__(self, fn: Callable[[], T]) -> None:
        """The value will be `fn()`; TypeError for an async function."""
        _refuse_async("Lazy()", fn)
        self._fn = fn
        self._once: Once[T] = Once(_name_of(fn))

    def get(self, timeout: float | None = None) -> T:
        """The value. The first call makes it; calls during that wait, at most `timeout` seconds."""
        return self._once.run(self._fn, timeout)

    @property
    def done(self) -> bool:
        """Whether there is a value."""
        return self._once.done

    def stats(self) -> OnceStats:
        """Whether there is a value, and how often the function was called and waited for."""
        return self._once.stats()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._once.name})"


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ValueError(
            f"the timeout has to be a number of seconds, at least 0, got {timeout!r}; "
            "to wait as long as it takes, leave it None"
        )
    return monotonic() + timeout


def _refuse_async(door: str, fn: Callable[..., object]) -> None:
    if is_async(fn):
        raise TypeError(
            f"{door} wants a function, and {_name_of(fn)} is async: a coroutine can be awaited only once; "
            "return a task or a future, or await outside and keep the result"
        )


def _name_of(fn: Callable[..., object]) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable
