"""The registry: the watched structures of a process, and their names.

    sessions = watch("sessions", HashMap())

It holds weak references, so watching does not keep a structure alive. Two structures with one name are told
apart by a number, and for each the line that watched it is known, to which reports point. `include(HashMap)`
adds the structures of a kind that nobody has named. Watching adds no cost to a structure's operations: the
registry reads the stats, and the structure does not report.
"""

from __future__ import annotations

import gc
import os
import sys
import weakref
from dataclasses import dataclass
from threading import RLock
from typing import Any, NamedTuple, Protocol, TypeVar

from threadproof.stats.record import Stats


class HasStats(Protocol):
    """A structure that can be watched."""

    def stats(self) -> Stats:
        """Its metrics; cheap enough to call every second under load."""
        ...


T = TypeVar("T", bound=HasStats)

SWEEP = 32  # dead entries that may stay: they take little memory, and sweeping is then rare


class Site(NamedTuple):
    """A line of the program."""

    file: str
    line: int
    function: str


@dataclass(frozen=True)
class Watched:
    """A structure in the registry; it stays alive while this object does."""

    name: str  # empty if it has none
    number: int  # 1 for the first of its name, or of its kind if it has no name
    structure: HasStats
    site: Site | None = None  # the call that named it; None if `include` found it

    @property
    def kind(self) -> str:
        """The name of its type, such as "HashMap"."""
        return type(self.structure).__name__

    @property
    def label(self) -> str:
        """Unique among those that are alive: `sessions`, `sessions#2`, and without a name `HashMap#1`."""
        numbered = not self.name or self.number > 1
        return f"{self.name or self.kind}#{self.number}" if numbered else self.name


@dataclass(frozen=True)
class Entry:
    name: str
    base: str  # what is numbered: the name, or without one the kind
    number: int
    reference: weakref.ref[Any]
    site: Site | None


class Registry:
    """Watched structures, in the order in which they were added. Every method may be called by any thread.

    Field     | written                | read
    ----------|------------------------|---------------
    _entries  | under the lock         | under the lock
    _numbers  | under the lock         | under the lock
    _sweep_at | under the lock         | without: a hint

    The lock is re-entrant: the garbage collector may run a finalizer at any allocation, which may call the
    registry again. So nothing iterates over a dict that such a call could change.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}  # by id
        self._numbers: dict[str, int] = {}  # the last number of each name, or of each kind without a name
        self._sweep_at = SWEEP

    def add(self, structure: T, name: str = "") -> T:
        """Watch the structure, and return it. Without a name it is listed by its kind.

        A structure that is watched already gets the new name, and a new number if that is another one.
        """
        return self._add(structure, name, calling_site())

    def include(self, kind: type[T]) -> int:
        """Watch all structures of a kind that are alive, unless they are watched; return how many.

        They have no names. Takes the time of `instances`.
        """
        known = {id(each.structure) for each in self.watched()}
        new = [each for each in instances(kind) if id(each) not in known]
        for each in new:
            self._add(each, "", None)
        return len(new)

    def _add(self, structure: T, name: str, site: Site | None) -> T:
        reference = reference_to(structure)
        check_name(name)
        if (
            len(self._entries) + len(self._numbers) >= self._sweep_at
        ):  # a hint, so no lock: a later call sees what this one missed
            self.watched()
        with _lock:
            known = self._entries.get(id(structure))
            if known is not None and known.reference() is structure and known.name == name:
                return structure
            base = name or type(structure).__name__
            number = self._numbers[base] = self._numbers.get(base, 0) + 1
            self._entries.pop(id(structure), None)  # so that it comes last, as it is new
            self._entries[id(structure)] = Entry(name, base, number, reference, site)
        return structure

    def remove(self, structure: HasStats) -> None:
        """Stop watching the structure; nothing happens if it is not watched."""
        with _lock:
            known = self._entries.get(id(structure))
            if known is not None and known.reference() is structure:
                del self._entries[id(structure)]

    def watched(self, kind: type | None = None) -> list[Watched]:
        """The watched structures that are alive, or those of one kind, in the order of adding."""
        with _lock:
            alive = self._sweep()
        return [each for each in alive if kind is None or isinstance(each.structure, kind)]

    def _sweep(self) -> list[Watched]:
        """Forget the dead; return the others. Call it under the lock, and drop the result after releasing it.

        The result may hold the last reference to a structure, whose finalizer must not run under the lock.
        """
        alive, dead = [], []
        for key, entry in list(self._entries.items()):
            structure = entry.reference()
            if structure is None:
                dead.append((key, entry))
            else:
                alive.append(Watched(entry.name, entry.number, structure, entry.site))
        for key, entry in dead:
            if self._entries.get(key) is entry:
                del self._entries[key]
        # Unused names start at 1 again: else a program that makes up names would leak.
        used = {entry.base for entry in list(self._entries.values())}
        for base in list(self._numbers):
            if base not in used:
                del self._numbers[base]
        self._sweep_at = 2 * (len(self._entries) + len(self._numbers)) + SWEEP
        return alive


def calling_site() -> Site | None:
    """The innermost call that is not in this module."""
    frame = sys._getframe()
    while frame.f_code.co_filename == __file__:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def reference_to(structure: HasStats) -> weakref.ref[Any]:
    if not callable(getattr(structure, "stats", None)):
        raise TypeError(f"a structure that is watched needs a method stats(), and {structure!r} has none")
    try:
        return weakref.ref(structure)
    except TypeError:
        kind = type(structure).__name__
        raise TypeError(f"{kind} has no weak references; add '__weakref__' to its __slots__") from None


def check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, got {name!r}")
    if "#" in name:
        raise ValueError(f"a name cannot contain '#', which separates the number in a label, got {name!r}")


# Of all registries: held for some dict operations, never while stats() or other user code runs.
_lock = RLock()

# The thread that forks holds the lock meanwhile, so the child finds complete dicts and a free lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

registry = Registry()


def watch(name: str, structure: T) -> T:
    """Watch the structure under this name in the process's registry, and return it."""
    return registry.add(structure, name)


def include(kind: type[T]) -> int:
    """Watch all structures of a kind that are alive, without names, in the process's registry."""
    return registry.include(kind)


def instances(kind: type[T]) -> list[T]:
    """All structures of a kind that are alive, watched or not.

    Looks at every object that the garbage collector knows, and on free-threaded Python stops all threads
    meanwhile: some 0.2 s for a million objects. Objects that gc.freeze() has frozen are not found.
    """
    objects = gc.get_objects()
    kinds = {each for each in {type(each) for each in objects} if issubclass(each, kind)}
    return [each for each in objects if type(each) in kinds]
