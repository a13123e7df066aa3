"""What a session has recorded, copied from _core.contention and with stacks as places of the source."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from threadproof import _core
from threadproof.findings.model import Place
from threadproof.probe.events import BETWEEN
from threadproof.probe.scope import LIBRARY, PACKAGE
from threadproof.watch.contention.positions import position_at

Stack = tuple[Place, ...]  # the innermost call first

# Objects at which a thread waits for a step of another one; at others that are in no row, for a lock.
STEPS = frozenset({"SimpleQueue", "Reservation", "_ThreadHandle"})

STOPPED = "stopped world"  # the kind of a wait for the interpreter, which has stopped all threads
FEWEST = 3  # samples of a changing count: a single one may be chance

# Files that wait for their callers, if a thread runs nothing but the library's code.
INNERMOST = tuple(LIBRARY + path for path in ("threading.py", "queue.py", "concurrent/futures/_base.py"))

# Their frames are in no report: they ran the program, or the profiler.
HIDDEN = (PACKAGE + "cli", PACKAGE + "probe", PACKAGE + "watch")


@dataclass(frozen=True)
class Thread:
    """A thread that was seen. `end` is None while it runs; `started` is the stack of its start."""

    number: int
    name: str
    begin: int
    end: int | None
    started: Stack
    ident: int


@dataclass(frozen=True)
class Awaited:
    """An object at which threads have waited, by one kind of step. `waits`: not just for its lock."""

    kind: str
    step: str
    waits: bool
    created: Stack
    sampled: bool = False


@dataclass(frozen=True)
class Changing:
    """An object whose reference count was changing while two threads had it within reach: an estimate."""

    kind: str
    name: str
    stacks: tuple[Stack, ...]
    samples: int
    rate: float  # changes in a microsecond that were seen


@dataclass(frozen=True)
class Sum:
    """The waits of one thread at one object from one stack, for one holder. Threads are numbers."""

    thread: int
    awaited: int
    stack: Stack
    holder: Stack
    holder_thread: int
    count: int
    delay: int
    most: int


@dataclass(frozen=True)
class Wait:
    """One wait. The holder is the one that made it wait longest. `outcome`: "got", "gave up" or "waits"."""

    thread: int
    awaited: int
    stack: Stack
    holder: Stack
    holder_thread: int
    begin: int
    end: int
    outcome: str

    @property
    def delay(self) -> int:
        """In nanoseconds."""
        return self.end - self.begin


@dataclass(frozen=True)
class Record:
    """All of a session; times are nanoseconds of the monotonic clock."""

    begin: int
    end: int
    gil: bool
    threads: dict[int, Thread]
    awaited: list[Awaited]
    sums: list[Sum]
    waits: list[Wait]
    open: list[Wait]
    changing: list[Changing]
    samples: bool  # whether the sampler works here


def recorded(samples: bool) -> Record:
    """The session so far, or the last one; `samples`: whether there is a sampler."""
    core, stack = _core.contention, lru_cache(maxsize=None)(stack_of)  # one report has some hundred stacks
    begin, end = core.times()
    single = [wait_of(raw, stack) for raw in core.waits()]
    still = [wait_of(raw, stack) for raw in core.open_waits()]
    sums = [
        Sum(thread, awaited, stack(at), stack(by), holder, count, delay, most)
        for thread, awaited, at, by, holder, count, delay, most in core.sums()
    ]
    threads = {
        number: Thread(number, name or name_of(number, ident), begin, end or None, stack(started), ident)
        for number, ident, name, begin, end, started in core.threads()
    }
    # last: waits that are added meanwhile may be at new objects
    awaited = [
        Awaited(kind, step, waits or kind in STEPS, stack(at)) for kind, step, waits, at in core.objects()
    ]
    add_samples(threads, awaited, sums)
    return Record(begin, end, has_gil(), threads, awaited, sums, single, still, changing(stack), samples)


def add_samples(threads: dict[int, Thread], awaited: list[Awaited], sums: list[Sum]) -> None:
    """The waits that were sampled, as sums of objects of their own."""
    objects: dict[int, int] = {}
    stack = lru_cache(maxsize=None)(sampled_stack_of)
    for ident, address, kind, at, by, holder, delay, count in _core.contention.sampled_waits():
        if address not in objects:
            objects[address] = len(awaited)
            awaited.append(Awaited(short(kind) or STOPPED, "", False, (), sampled=True))
        numbers = (number_of(ident, threads), number_of(holder, threads))
        sums.append(Sum(numbers[0], objects[address], stack(at), stack(by), numbers[1], count, delay, 0))


def number_of(ident: int, threads: dict[int, Thread]) -> int:
    """The last thread with this identifier; 0 for 0. One that was not seen before gets a number below 0."""
    found = [number for number, thread in threads.items() if thread.ident == ident]
    if found or not ident:
        return found[-1] if found else 0
    threads[-ident] = Thread(-ident, name_of(-ident, ident), *_core.contention.times(), (), ident)
    return -ident


def short(kind: str) -> str:
    """`lru_cache` of `functools._lru_cache_wrapper`."""
    return kind.rpartition(".")[2].removeprefix("_").removesuffix("_wrapper")


def changing(stack: Callable[[int], Stack]) -> list[Changing]:
    """Those that were seen several times, the most frequent first."""
    found: dict[int, Changing] = {}
    for address, kind, name, at, other, samples, changes, spent in _core.contention.sampled_counts():
        each = Changing(short(kind), name, (stack(at), stack(other)), samples, changes / spent * 1000)
        known = found.get(address)
        if known:
            total = known.samples + each.samples
            rate = (known.rate * known.samples + each.rate * each.samples) / total
            each = replace(known, stacks=known.stacks + each.stacks, samples=total, rate=rate)
        found[address] = each
    often = [each for each in found.values() if each.samples >= FEWEST]
    return sorted(often, key=lambda each: -each.samples)


def wait_of(raw: tuple[int, int, int, int, int, int, int, str], stack: Callable[[int], Stack]) -> Wait:
    thread, awaited, at, by, holder, begin, end, outcome = raw
    return Wait(thread, awaited, stack(at), stack(by), holder, begin, end, outcome)


def has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def name_of(number: int, ident: int) -> str:
    """Of a thread that was there before the session."""
    thread = threading._active.get(ident)  # type: ignore[attr-defined] # current_thread() of another thread
    return thread.name if thread is not None else f"thread {number}"


def stack_of(number: int) -> Stack:
    """Of _core.probe."""
    frames = [] if number == 0 else _core.probe.frames(number)
    return tuple(
        place_of(code.co_filename, code.co_qualname, code.co_firstlineno, code.co_linetable, offset)
        for code, offset in frames
        if not code.co_filename.startswith(HIDDEN)
    )


def sampled_stack_of(number: int) -> Stack:
    """Of the sampler, whose numbers are its own."""
    frames = [] if number == 0 else _core.contention.sampled_frames(number)
    return tuple(place_of(*frame) for frame in frames if not frame[0].startswith(HIDDEN))


def place_of(file: str, function: str, first_line: int, table: bytes, offset: int) -> Place:
    """The line of an instruction, with the columns of its expression if they are on one line."""
    at = position_at(table, first_line, offset // 2)
    place = Place(file, at.line or first_line, function)
    if at.line is None or at.line != at.end_line or at.column is None or at.end_column is None:
        return place
    return place.from_byte(at.column, at.end_column)


def place_in_program(stack: Stack) -> Place | None:
    """The innermost place that is in no file of the library that waits for its callers."""
    for files in (BETWEEN, INNERMOST):
        for place in stack:
            if not place.file.startswith(files):
                return place
    return stack[-1] if stack else None
