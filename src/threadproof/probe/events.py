"""The arguments of the callbacks of `subscribe()`: one class for each type of event.

src/ext/probe/events.hpp lists the events, and the moments at which they are published.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import NamedTuple

from threadproof import _core
from threadproof.probe.flags import AccessFlag
from threadproof.probe.scope import LIBRARY, OWN, PACKAGE

DEEPEST = 64  # frames of a stack: deeper ones add little information


class Place(NamedTuple):
    """A line of the program."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


# Files of the standard library that synchronise for their callers: an event's place is never in them.
SYNCHRONISING = tuple(
    LIBRARY + path
    for path in ("threading.py", "queue.py", "concurrent/", "asyncio/", "logging/", "multiprocessing/")
)
NOWHERE = Place("?", 0, "?")
BETWEEN = (*OWN, PACKAGE + "maps/", PACKAGE + "sync/", "<frozen importlib", *SYNCHRONISING)


def place_of(code: CodeType, offset: int) -> Place:
    line = next((line for begin, end, line in code.co_lines() if begin <= offset < end), None)
    return Place(code.co_filename, line or code.co_firstlineno, code.co_qualname)


@dataclass(frozen=True, slots=True)
class Event:
    """A step, its object and its thread. Its stack exists only while its callback runs."""

    kind: str  # the keyword of subscribe()
    object: object
    thread: int  # the number of the thread in which it happens, which is the calling one

    def stack(self) -> list[Place]:
        """Its call stack, innermost line first; empty in a thread that has no Python frame yet."""
        frames = _core.probe.frames(_core.probe.capture(DEEPEST))
        return [place_of(*frame) for frame in frames if not frame[0].co_filename.startswith(OWN)]

    def place(self) -> Place:
        """The line of the program that causes it: the innermost one outside of the files that synchronise."""
        frames = _core.probe.frames(_core.probe.capture(DEEPEST))
        for frame in frames:
            if not frame[0].co_filename.startswith(BETWEEN):
                return place_of(*frame)
        return place_of(*frames[-1]) if frames else NOWHERE


@dataclass(frozen=True, slots=True)
class LockEvent(Event):
    """acquiring, acquired, abandoned (it could not be acquired, or not in time), releasing."""

    lock_kind: str  # "mutex", "reentrant", "shared" or "exclusive"
    attempt: str  # of acquiring: "blocking", "timed" or "try"
    internal: bool  # a library's own lock, acquired for its own purposes


@dataclass(frozen=True, slots=True)
class OrderEvent(Event):
    """publishing: the thread's steps so far are ordered before those after `observed` of object and key."""

    key: int  # 0: the object as a whole


@dataclass(frozen=True, slots=True)
class ItemEvent(Event):
    """sending and received: an item through a channel, the object. unsent: the channel refused it."""

    item: object


@dataclass(frozen=True, slots=True)
class PermitEvent(Event):
    """giving_permits and took_permit, of a semaphore."""

    initial: int  # permits that existed before the first event of this object
    count: int


@dataclass(frozen=True, slots=True)
class WaitEvent(Event):
    """waiting and waited, around a step that may block and is not a lock."""

    reason: str  # "join", "item" or "computation"
    attempt: str  # of waiting: "blocking", "timed" or "try"


@dataclass(frozen=True, slots=True)
class ThreadEvent(Event):
    """creating_thread, thread_began, thread_ending, joined; the object is None."""

    number: int  # of the thread that is created, begins, ends, or was joined
    name: str | None  # of creating_thread


@dataclass(frozen=True, slots=True)
class AccessEvent(Event):
    """accessing: an instrumented instruction is about to read or write a variable of the object."""

    part: str  # "attribute", "item", "global", "structure", "cell", "iterator" or "index"
    name: object  # of the attribute, or the key; None
    flags: int  # of AccessFlag

    @property
    def write(self) -> bool:
        """Whether it is a write; else it is a read."""
        return bool(self.flags & AccessFlag.WRITE)


@dataclass(frozen=True, slots=True)
class MapEvent(Event):
    """read_key, changing_key, computing, computed; read_map and changing_map, whose key is None."""

    key: object


@dataclass(frozen=True, slots=True)
class ObjectEvent(Event):
    """allocated, and owned: no other thread has it any more. The object is None: it may be about to go."""

    address: int


@dataclass(frozen=True, slots=True)
class ModuleEvent(Event):
    """module_ran: its top level is done. module_seen: an import has waited for that. The object is None."""

    name: str


CLASSES: dict[str, type[Event]] = {
    **dict.fromkeys(("acquiring", "acquired", "abandoned", "releasing"), LockEvent),
    **dict.fromkeys(("publishing", "observed"), OrderEvent),
    **dict.fromkeys(("sending", "unsent", "received"), ItemEvent),
    **dict.fromkeys(("giving_permits", "took_permit"), PermitEvent),
    **dict.fromkeys(("waiting", "waited"), WaitEvent),
    **dict.fromkeys(("creating_thread", "thread_began", "thread_ending", "joined"), ThreadEvent),
    "accessing": AccessEvent,
    **dict.fromkeys(("read_key", "changing_key", "computing", "computed"), MapEvent),
    **dict.fromkeys(("read_map", "changing_map"), MapEvent),
    **dict.fromkeys(("allocated", "owned"), ObjectEvent),
    **dict.fromkeys(("module_ran", "module_seen"), ModuleEvent),
}
