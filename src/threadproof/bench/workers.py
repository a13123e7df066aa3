"""The threads of a run: each on a CPU of its own if there are enough, all starting at one instant.

One thread is the calling one, so that a map sees only one thread in the process, as in a program of one.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Loop = Callable[[Any, Sequence[Any], threading.Lock, int], None]
HEAD_START = 300_000  # ns between submitting a loop and its start: more than a thread takes to wake up


class Here(Executor):
    """Runs everything at once in the calling thread, on one CPU, as in a program that has no other thread."""

    def __init__(self, cpu: int | None) -> None:
        self.cpu = cpu

    def submit(self, do: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        before = usable_cpus()
        pin(self.cpu)
        try:
            future.set_result(do(*arguments, **named))
        except BaseException as error:
            future.set_exception(error)
        finally:
            pin(*before)
        return future


class Workers:
    """Threads that wait for work, each in an executor of its own, so that one of them can be given work."""

    def __init__(self, size: int) -> None:
        cpus: Sequence[int | None] = usable_cpus()[:size]
        places = cpus if len(cpus) == size else [None] * size
        self.executors: list[Executor] = [
            Here(cpu) if size == 1 else ThreadPoolExecutor(1, initializer=pin, initargs=(cpu,))
            for cpu in places
        ]

    def first(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in the first thread, which then owns what it returns."""
        return self.executors[0].submit(make, *arguments).result()

    def each(self, make: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Call it in each thread with an argument of its own; the results in order."""
        pairs = zip(self.executors, arguments, strict=False)
        return [executor.submit(make, argument).result() for executor, argument in pairs]

    def time(self, loop: Loop, m: Any, lists: Sequence[Sequence[Any]], n: int = 0) -> int:
        """The ns until one thread for each list has run the loop over it."""
        lock, start = threading.Lock(), perf_counter_ns() + HEAD_START
        pairs = zip(self.executors, lists, strict=False)
        runs = [executor.submit(run, start, loop, m, own, lock, n) for executor, own in pairs]
        return max([each.result() for each in runs]) - start

    def stop(self) -> None:
        for executor in self.executors:
            executor.shutdown()


def run(start: int, loop: Loop, m: Any, keys: Sequence[Any], lock: threading.Lock, n: int) -> int:
    while perf_counter_ns() < start:
        pass
    loop(m, keys, lock, n)
    return perf_counter_ns()


def usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(*cpus: int | None) -> None:
    """Keep this thread on the CPUs, where the system can."""
    known = {cpu for cpu in cpus if cpu is not None}
    if known and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, known)


def immortalise(things: Sequence[Any]) -> None:
    """Stop the reference counting of these objects, where CPython allows that, as it does for interned str.

    Otherwise two threads that use the same key objects measure the cost of a shared reference count.
    """
    # The public PyUnstable_SetImmortal of 3.15 takes only objects that nothing else refers to; a list does.
    make_immortal = getattr(ctypes.pythonapi, "_Py_SetImmortal", None)
    if make_immortal is not None:
        for thing in things:
            make_immortal(ctypes.py_object(thing))
