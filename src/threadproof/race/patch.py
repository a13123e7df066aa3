"""Which methods order threads or touch containers, and how we come to hear of their calls.

C methods are watched where they are defined (`_core.race_hook_method`), so that every way to call them
counts. A function written in Python runs in a context of ours (`_core.race_around`): a generator of the same
arguments that yields where the function is to run. It stays the function it is, and no frame of ours comes
between it and its caller. What such a function does inside, with locks of its own, is not what the program
said: it is ignored, and replaced by what the class promises. Otherwise a queue's mutex, say, would order
everybody who ever used the queue, and hide their races.
"""

from __future__ import annotations

import _queue
import _thread
import array
import atexit
import collections
import heapq
import os
import sys
import threading
import types
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from threadproof import _core

LIBRARY = os.path.dirname(os.__file__) + os.sep

# Library code that takes locks for its own ends: that two threads log does not order them.
MUTED = (
    *(
        LIBRARY + path
        for path in ("logging/", "asyncio/", "concurrent/futures/thread.py", "queue.py", "_weakrefset.py")
    ),
    *(LIBRARY + path for path in ("tempfile.py", "random.py", "importlib/", "weakref.py")),
    os.path.join(os.path.dirname(os.path.dirname(__file__)), "maps") + os.sep,
    os.path.join(os.path.dirname(os.path.dirname(__file__)), "sync") + os.sep,
    "<frozen importlib",
    os.path.dirname(__file__) + os.sep,
)

LOCK, RLOCK = type(_thread.allocate_lock()), type(_thread.RLock())

# What has items by position, besides list.
INDEXED = (collections.deque, bytearray, array.array)

# Iterators that two threads must not share; itertools.count() is not among them, for they may share that.
ITERATORS: tuple[type, ...] = (
    *map(type, (iter([]), reversed([]), iter(()), iter(range(0)), iter(range(2**70)), iter(set()), iter(""))),
    *map(type, (iter({}), iter({}.values()), iter({}.items()), reversed({}), (None for _ in ""))),
    *(enumerate, zip, map, filter, reversed),
)

METHODS: list[tuple[Any, str, tuple[str, ...]]] = [
    (LOCK, "acquire", ("acquire", "acquire_lock", "__enter__")),
    (LOCK, "release", ("release", "release_lock", "__exit__")),
    (RLOCK, "acquire", ("acquire", "__enter__", "_acquire_restore")),
    (RLOCK, "release", ("release", "__exit__", "_release_save")),
    (_queue.SimpleQueue, "put", ("put", "put_nowait")),
    (_queue.SimpleQueue, "get", ("get", "get_nowait")),
    (list, "change", ("append", "insert", "remove", "clear", "sort", "reverse", "pop")),
    (list, "extend", ("extend",)),
    (list, "read", ("copy", "index", "count")),
    (str, "read_argument", ("join",)),
    (dict, "read_item", ("get",)),
    (dict, "store_item", ("setdefault",)),
    (dict, "change_item", ("pop",)),
    (dict, "change", ("popitem", "clear")),
    (dict, "update_dict", ("update",)),
    (dict, "read", ("copy",)),
    (collections.OrderedDict, "store_item", ("setdefault",)),
    (collections.OrderedDict, "change_item", ("pop",)),
    (collections.OrderedDict, "change", ("popitem", "clear", "move_to_end", "update")),
    (collections.OrderedDict, "read", ("copy",)),
    (collections.defaultdict, "read", ("copy",)),
    (set, "change_item", ("add", "discard", "remove")),
    (set, "change", ("pop", "clear")),
    (set, "extend", ("update", "difference_update", "intersection_update", "symmetric_difference_update")),
    (set, "read", ("copy", "union", "difference", "intersection", "isdisjoint", "issubset", "issuperset")),
    (collections.deque, "change", ("append", "appendleft", "pop", "popleft", "insert")),
    (collections.deque, "change", ("remove", "clear", "rotate", "reverse")),
    (collections.deque, "extend", ("extend", "extendleft")),
    (collections.deque, "read", ("copy", "index", "count")),
    *(
        (owner, "change", ("append", "insert", "remove", "reverse", "pop"))
        for owner in (bytearray, array.array)
    ),
    *((owner, "extend", ("extend",)) for owner in (bytearray, array.array)),
    (heapq, "change_argument", ("heappush", "heappop", "heapify", "heapreplace", "heappushpop")),
]

NUMBERS, ARRAY = (_core.AtomicInt, _core.AtomicFloat, _core.AtomicFlag), _core.AtomicIntArray
STEPS = (
    *("exchange", "compare_exchange", "fetch_add", "fetch_sub", "fetch_max", "fetch_min"),
    *("fetch_and", "fetch_or", "fetch_xor"),
)

METHODS += [
    (owner, f"{action}{suffix}", names)
    for owner, suffix in (*((owner, "") for owner in (*NUMBERS, _core.AtomicReference)), (ARRAY, "_at"))
    for action, names in (
        ("load", ("load",)),
        ("store", ("store",)),
        ("exchange", STEPS),
        ("update", ("update",)),
    )
]
METHODS += [(atexit, "register", ("register",))]
METHODS += [(_core.RWLockHold, "enter", ("__enter__",)), (_core.RWLockHold, "leave", ("__exit__",))]

# Whatever is watched dies through one of these; a class of the program's does so through its base.
MORTALS: tuple[type, ...] = (
    *(object, list, dict, set, type, BaseException, collections.deque, collections.OrderedDict),
    *(bytearray, array.array, *ITERATORS),
    *(collections.defaultdict, types.CellType, types.ModuleType, LOCK, RLOCK, _queue.SimpleQueue),
    *(*NUMBERS, ARRAY, _core.AtomicReference, _core.RWLock, _core.HashMap, _core.SyncMap),
)


def hook_methods() -> None:
    """Watch the methods of C types; once for the process, for there is no safe way back."""
    for owner, action, names in METHODS:
        for name in names:
            if name in vars(owner):  # not an inherited one, which is hooked where it stands
                _core.race_hook_method(owner, name, action)
    _core.race_hook_truth(_core.AtomicFlag)
    _core.race_forget_list_append()
    _core.race_exclude(threading._active_limbo_lock)  # type: ignore[attr-defined]


def hook_deaths() -> None:
    """Hear of the end of whatever can be watched; once for the process, too."""
    for mortal in dict.fromkeys(MORTALS):
        _core.race_hook_death(mortal)


class quiet:  # noqa: N801 - it is used as a function is
    """What this thread does in the block is not the program's."""

    def __enter__(self) -> None:
        _core.race_quiet(1)

    def __exit__(self, *error: object) -> None:
        _core.race_quiet(-1)


Restore = tuple[object, str, Any]
Tell = Callable[[Any], None]
Context = Callable[..., Generator[None, Any]]
INHERITED: Any = object()  # the class had no method of that name of its own


class Patches:
    """What we have put around functions, or in their place, and the way back."""

    def __init__(self) -> None:
        self.originals: list[Restore] = []
        self.surrounded: list[Any] = []

    def around(self, owner: Any, name: str, context: Context) -> None:
        """Have all calls of a function written in Python run in the context, however they reach it."""
        function = getattr(owner, name)
        self.surrounded.append(function)
        _core.race_around(function, context)

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put make(original) in its place, under the name and with the words of the original."""
        original = getattr(owner, name)
        ours = make(original)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            with suppress(AttributeError):  # of a property
                setattr(ours, attribute, getattr(original, attribute))
        self.originals.append((owner, name, vars(owner).get(name, INHERITED)))
        setattr(owner, name, ours)

    def wrap(self, owner: Any, before: Tell | None, names: str, after: Tell | None) -> None:
        """Have before(self) called before the named methods, and after(self) after them if they succeed."""
        for name in names.split():
            self.replace(owner, name, lambda original: told(before, original, after))

    def restore(self) -> None:
        while self.surrounded:
            _core.race_around(self.surrounded.pop(), None)
        while self.originals:
            owner, name, original = self.originals.pop()
            if original is INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def told(before: Tell | None, original: Any, after: Tell | None) -> Any:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        if before:
            before(self)
        result = original(self, *arguments, **named)
        if after:
            after(self)
        return result

    return method


def called_by_library() -> bool:
    """Whether whoever called the function whose context asks does so for ends of its own."""
    return sys._getframe(2).f_code.co_filename.startswith(MUTED)
