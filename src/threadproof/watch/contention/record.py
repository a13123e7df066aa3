"""What a session has recorded, copied from _core.contention and with stacks as places of the source."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from threadproof import _core
from threadproof.findings.model import Place
from threadproof.probe.events import BETWEEN
from threadproof.probe.scope import LIBRARY, PACKAGE

Stack = tuple[Place, ...]  # the innermost call first

# Objects at which a thread waits for a step of another one; at others that are in no row, for a lock.
STEPS = frozenset({"SimpleQueue", "Reservation", "_ThreadHandle"})

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


@dataclass(frozen=True)
class Awaited:
    """An object at which threads have waited, by one kind of step. `waits`: not just for a lock of the object."""

    kind: str
    step: str
    waits: bool
    created: Stack


@dataclass(frozen=True)
class Sum:
    """The waits of one thread at one object from one stack, for one holder. `thread` and others are numbers."""

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


def recorded() -> Record:
    """The session so far, or the last one."""
    core, stack = _core.contention, lru_cache(maxsize=None)(stack_of)  # one report has some hundred stacks
    begin, end = core.times()
    single = [wait_of(raw, stack) for raw in core.waits()]
    still = [wait_of(raw, stack) for raw in core.open_waits()]
    sums = [
        Sum(thread, awaited, stack(at), stack(by), holder, count, delay, most)
        for thread, awaited, at, by, holder, count, delay, most in core.sums()
    ]
    threads = {
        number: Thread(number, name or name_of(number, ident), begin, end or None, stack(started))
        for number, ident, name, begin, end, started in core.threads()
    }
    # last: waits that are added meanwhile may be at new objects
    awaited = [
        Awaited(kind, step, waits or kind in STEPS, stack(at)) for kind, step, waits, at in core.objects()
    ]
    return Record(begin, end, has_gil(), threads, awaited, sums, single, still)


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
    frames = [] if number == 0 else _core.probe.frames(number)
    return tuple(place_of(*frame) for frame in frames if not frame[0].co_filename.startswith(HIDDEN))


def place_of(code: CodeType, offset: int) -> Place:
    """The line of an instruction, with the columns of its expression if they are on one line."""
    positions = list(code.co_positions())
    line, end, begin_column, end_column = positions[offset // 2] if offset // 2 < len(positions) else (None,) * 4
    place = Place(code.co_filename, line or code.co_firstlineno, code.co_qualname)
    if line is None or line != end or begin_column is None or end_column is None:
        return place
    return place.from_byte(begin_column, end_column)


def place_in_program(stack: Stack) -> Place | None:
    """The innermost place that is in no file of the library that waits for its callers."""
    for files in (BETWEEN, INNERMOST):
        for place in stack:
            if not place.file.startswith(files):
                return place
    return stack[-1] if stack else None
