"""How we measure: compiled loops, threads each on their own CPU, rivals in turn, the best of many rounds.

Everything happens in one process, so that each rival meets the same machine in the same seconds as dict.
Neighbours can only make a run slower: the minimum is the figure, and all samples are kept beside it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from textwrap import indent
from time import perf_counter_ns
from typing import Any

from keys import make_keys, uniform
from rivals import DICT, Rival
from workloads import LOOP, Scene, Start, Workload

Loop = Callable[[Any, Sequence[Any], threading.Lock], None]
HEAD_START = 300_000  # ns between handing out work and its start: enough for every thread to wake up


class WrongAnswerError(Exception):
    """A map does not hold what the run has put into it, so its times are worth nothing."""


def compile_loop(body: str, guard: str = "") -> Loop:
    """Make the function that runs a workload's body, with the guard before each operation."""
    source = "def loop(m, keys, lock):\n" + indent(body.replace("@", guard), "    ")
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # as timeit does: a call per operation would cost more than the operation
    loop: Loop = namespace["loop"]
    return loop


EMPTY_LOOP = compile_loop(LOOP)


class Crew:
    """Threads that each stay on a CPU of their own."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self.hands = [ThreadPoolExecutor(1, initializer=pin, initargs=(cpu,)) for cpu in cpus]

    def first(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """Have the first thread make something, so that it owns it."""
        return self.hands[0].submit(make, *arguments).result()

    def each(self, make: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Have each thread make something of its own; its number comes last among the arguments."""
        return [hand.submit(make, *arguments, number).result() for number, hand in enumerate(self.hands)]

    def time(self, loop: Loop, m: Any, keys: Sequence[Sequence[Any]]) -> int:
        """Return the ns in which as many threads as there are lists of keys have all run the loop."""
        lock, start = threading.Lock(), perf_counter_ns() + HEAD_START
        runs = [
            hand.submit(run, start, loop, m, own, lock) for hand, own in zip(self.hands, keys, strict=False)
        ]
        return max(each.result() for each in runs) - start


def pin(cpu: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def run(start: int, loop: Loop, m: Any, keys: Sequence[Any], lock: threading.Lock) -> int:
    while perf_counter_ns() < start:
        pass
    loop(m, keys, lock)
    return perf_counter_ns()


@dataclass
class Samples:
    """All the ns of a scene: of each rival, workload and number of threads, and of the empty loop."""

    times: defaultdict[tuple[Rival, Workload, int], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    empty: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def per_operation(self, rival: Rival, workload: Workload, threads: int, operations: int) -> float | None:
        """Return the least ns per operation and thread, without the loop where that is to be taken off."""
        times = self.times.get((rival, workload, threads))
        if times is None:
            return None
        loop = min(self.empty[threads]) if workload.subtract else 0
        return max(min(times) - loop, 1) / operations


class Stage:
    """A scene set up: its keys, and the maps that all its runs share."""

    def __init__(self, scene: Scene, rivals: Sequence[Rival], cpus: Sequence[int]) -> None:
        self.scene, self.rivals, self.crew = scene, rivals, Crew(cpus)
        self.alone = len(cpus) == 1
        self.stored: list[Any] = self.owned(make_keys, scene.kind, range(scene.n))
        if not self.alone and scene.identical:
            immortalise(self.stored)
        makers = {workload.keys for workload in scene.workloads} | {uniform}
        self.keys = {make: self.crew.each(make, scene, self.stored) for make in makers}
        self.kept: dict[tuple[Rival, int | None, Start], Any] = {}
        self.samples = Samples()

    def owned(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """Make what the one thread then owns; where there are two, neither of them should."""
        return self.crew.first(make, *arguments) if self.alone else make(*arguments)

    def measure(self) -> Samples:
        """Run each workload of the scene with each rival, round after round."""
        for _ in range(self.scene.rounds):
            for threads in self.crew_sizes():
                self.samples.empty[threads].append(
                    self.crew.time(EMPTY_LOOP, None, self.keys[uniform][:threads])
                )
            for workload in self.scene.workloads:
                for rival in self.rivals:
                    self.run(workload, rival)
        self.verify()
        return self.samples

    def crew_sizes(self) -> range:
        return range(1, len(self.crew.hands) + 1)

    def run(self, workload: Workload, rival: Rival) -> None:
        loop = rival_loop(workload, rival)
        for threads in self.crew_sizes():
            m = self.map_for(workload, rival)
            if not rival.is_dict and not hasattr(m, workload.needs):
                return
            nanoseconds = self.crew.time(loop, m, self.keys[workload.keys][:threads])
            self.samples.times[rival, workload, threads].append(nanoseconds)

    def map_for(self, workload: Workload, rival: Rival) -> Any:
        make = workload.dict_make if rival.is_dict else rival.make
        if workload.start is Start.EMPTY:
            return self.owned(make)
        if workload.start is Start.FILLED:
            return self.owned(filled, make, self.stored, workload.value)
        which = rival, workload.value, workload.start
        if which not in self.kept:
            self.kept[which] = self.owned(filled, make, self.stored, workload.value)
        return self.kept[which]

    def verify(self) -> None:
        """Compare what the kept maps hold with what was put in; a dict that threads count in may be wrong."""
        for (rival, value, start), m in self.kept.items():
            if value == 0 and not self.alone and rival is DICT:
                continue
            added = sum(
                len(times) * threads * self.scene.operations
                for (who, workload, threads), times in self.samples.times.items()
                if (who, workload.value, workload.start) == (rival, value, start)
            )
            held = [m[key] for key in self.stored]
            right = sum(held) == added if value == 0 else held == [None] * self.scene.n
            if len(m) != self.scene.n or not right:
                raise WrongAnswerError(f"{rival.name} does not hold what was put in, keys {self.scene.kind}")


@cache
def rival_loop(workload: Workload, rival: Rival) -> Loop:
    body = workload.dict_body if rival.is_dict and workload.dict_body else workload.body
    return compile_loop(body, rival.guard)


def filled(make: Callable[[], Any], stored: list[Any], value: int | None) -> Any:
    m = make()
    for key in stored:
        m[key] = value
    return m


def immortalise(things: list[Any]) -> None:
    """End the reference counting of these objects where CPython lets us, as it does itself with interned str.

    Otherwise two threads that use the very same key objects measure the cost of sharing a reference count.
    """
    # The public PyUnstable_SetImmortal of 3.15 takes only objects that nothing else refers to; a list does.
    make_immortal = getattr(ctypes.pythonapi, "_Py_SetImmortal", None)
    if make_immortal is not None:
        for thing in things:
            make_immortal(ctypes.py_object(thing))
