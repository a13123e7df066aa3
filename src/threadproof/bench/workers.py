"""The threads of a run: each on a CPU of its own where there are enough, all starting at one instant."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

Loop = Callable[[Any, Sequence[Any], threading.Lock, int], None]
HEAD_START = 300_000  # ns between handing out work and its start: enough for every thread to wake up


class Crew:
    """Threads that wait for work."""

    def __init__(self, size: int) -> None:
        cpus: Sequence[int | None] = usable_cpus()[:size]
        places = cpus if len(cpus) == size else [None] * size
        self.hands = [ThreadPoolExecutor(1, initializer=pin, initargs=(cpu,)) for cpu in places]

    def first(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """Have the first thread make something, so that it owns it."""
        return self.hands[0].submit(make, *arguments).result()

    def each(self, make: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Have each thread make something of its own, from an argument of its own."""
        pairs = zip(self.hands, arguments, strict=False)
        return [hand.submit(make, argument).result() for hand, argument in pairs]

    def time(self, loop: Loop, m: Any, lists: Sequence[Sequence[Any]], n: int = 0) -> int:
        """Return the ns in which as many threads as there are lists have all run the loop."""
        lock, start = threading.Lock(), perf_counter_ns() + HEAD_START
        pairs = zip(self.hands, lists, strict=False)
        runs = [hand.submit(run, start, loop, m, own, lock, n) for hand, own in pairs]
        return max([each.result() for each in runs]) - start

    def leave(self) -> None:
        for hand in self.hands:
            hand.shutdown()


def run(start: int, loop: Loop, m: Any, keys: Sequence[Any], lock: threading.Lock, n: int) -> int:
    while perf_counter_ns() < start:
        pass
    loop(m, keys, lock, n)
    return perf_counter_ns()


def usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(cpu: int | None) -> None:
    """Keep this thread on the CPU, where the system can."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def immortalise(things: Sequence[Any]) -> None:
    """End the reference counting of these objects where CPython lets us, as it does itself with interned str.

    Otherwise two threads that use the very same key objects measure the cost of sharing a reference count.
    """
    # The public PyUnstable_SetImmortal of 3.15 takes only objects that nothing else refers to; a list does.
    make_immortal = getattr(ctypes.pythonapi, "_Py_SetImmortal", None)
    if make_immortal is not None:
        for thing in things:
            make_immortal(ctypes.py_object(thing))
