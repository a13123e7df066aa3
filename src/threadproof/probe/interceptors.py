"""The methods of C types that publish events, and the types whose deallocation does.

A method is intercepted where it is defined (`_core.probe.intercept_method`), so every way to call it counts.
Its action decides which events it publishes; `_core.probe.METHOD_ACTIONS` lists the actions. Functions
written in Python are in probe/library. threadproof's own structures publish for themselves
(ext/probe/structures.hpp).
"""

from __future__ import annotations

import _queue
import _thread
import array
import atexit
import bisect
import collections
import heapq
import os
import threading
import time
import types
from collections.abc import Iterable
from typing import Any

from threadproof import _core, consumers

LOCK, RLOCK = type(_thread.allocate_lock()), type(_thread.RLock())
HANDLE: type = getattr(_thread, "_ThreadHandle", LOCK)  # new in 3.13

# Types with items by position, besides list.
INDEXED = (collections.deque, bytearray, array.array)

# Iterators that two threads must not share. An itertools.count() is not among them: that is safe to share.
ITERATORS: tuple[type, ...] = (
    *map(type, (iter([]), reversed([]), iter(()), iter(range(0)), iter(range(2**70)), iter(set()), iter(""))),
    *map(type, (iter({}), iter({}.values()), iter({}.items()), reversed({}), (None for _ in ""))),
    *(enumerate, zip, map, filter, reversed),
)

Methods = list[tuple[Any, str, tuple[str, ...]]]  # (type or module, action, names)

# By the kind of event that they publish, because a subscriber may want one kind only.
METHODS: dict[str, Methods] = {
    "locks": [
        (LOCK, "acquire", ("acquire", "acquire_lock", "__enter__")),
        (LOCK, "release", ("release", "release_lock", "__exit__")),
        (RLOCK, "acquire", ("acquire", "__enter__", "_acquire_restore")),
        (RLOCK, "release", ("release", "__exit__", "_release_save")),
    ],
    "items": [
        (_queue.SimpleQueue, "send", ("put", "put_nowait")),
        (_queue.SimpleQueue, "receive", ("get",)),
        (_queue.SimpleQueue, "receive_now", ("get_nowait",)),
    ],
    "states": [
        (LOCK, "read_state", ("locked", "locked_lock")),
        (RLOCK, "read_state", ("locked",)),
        (_queue.SimpleQueue, "read_state", ("empty", "qsize")),
    ],
    "time": [
        (time, "sleep", ("sleep",)),
        (time, "read_clock", ("monotonic", "perf_counter", "time")),
        (time, "read_clock_ns", ("monotonic_ns", "perf_counter_ns", "time_ns")),
    ],
    "joins": [
        (HANDLE, "join", ("join",)),
    ],
    "creations": [
        (_thread, "create", ("allocate_lock", "allocate", "RLock")),
    ],
    "order": [
        (atexit, "publish", ("register",)),
    ],
    "accesses": [
        (list, "put", ("append",)),
        (list, "insert", ("insert",)),
        (list, "take", ("pop",)),
        (list, "change", ("remove", "clear", "sort", "reverse")),
        (list, "extend", ("extend",)),
        (list, "read", ("copy",)),
        (list, "go_over", ("index", "count")),
        (str, "consume", ("join",)),
        (bytes, "consume", ("join",)),
        (dict, "read_item", ("get", "__contains__")),
        (dict, "load_item", ("__getitem__",)),
        (dict, "store_item", ("setdefault",)),
        (dict, "take_item", ("pop",)),
        (dict, "take_pair", ("popitem",)),
        (dict, "change", ("clear",)),
        (dict, "update_dict", ("update",)),
        (dict, "read", ("copy",)),
        (dict, "consume", ("fromkeys",)),
        (collections.OrderedDict, "store_item", ("setdefault",)),
        (collections.OrderedDict, "take_item", ("pop",)),
        (collections.OrderedDict, "take_pair", ("popitem",)),
        (collections.OrderedDict, "change", ("clear", "move_to_end")),
        (collections.OrderedDict, "extend", ("update",)),
        (collections.OrderedDict, "read", ("copy",)),
        (collections.defaultdict, "read", ("copy",)),
        (set, "put_item", ("add",)),
        (set, "change_item", ("discard", "remove")),
        (set, "take", ("pop",)),
        (set, "change", ("clear",)),
        (set, "read_item", ("__contains__",)),
        (set, "extend", ("update", "difference_update")),
        (set, "extend", ("intersection_update", "symmetric_difference_update")),
        (set, "read", ("copy",)),
        (set, "read_with", ("union", "difference", "intersection", "symmetric_difference")),
        (set, "read_with", ("isdisjoint", "issubset", "issuperset")),
        (frozenset, "consume", ("union", "difference", "intersection", "symmetric_difference")),
        (frozenset, "consume", ("isdisjoint", "issubset", "issuperset")),
        (collections.deque, "put", ("append", "appendleft")),
        (collections.deque, "insert", ("insert",)),
        (collections.deque, "take", ("pop", "popleft")),
        (collections.deque, "change", ("remove", "clear", "rotate", "reverse")),
        (collections.deque, "extend", ("extend", "extendleft")),
        (collections.deque, "read", ("copy", "index", "count")),
        *(
            (owner, "change", ("append", "insert", "remove", "reverse", "pop"))
            for owner in (bytearray, array.array)
        ),
        *((owner, "extend", ("extend",)) for owner in (bytearray, array.array)),
        (heapq, "put_argument", ("heappush",)),
        (heapq, "take_argument", ("heappop", "heapreplace", "heappushpop")),
        (heapq, "change_argument", ("heapify",)),
        (bisect, "consume", ("bisect_left", "bisect_right")),
        (bisect, "change_argument", ("insort_left", "insort_right")),
    ],
}

# The objects of events are deallocated through these types; instances of Python classes, through their base.
TRACKED: tuple[type, ...] = (
    *(object, list, dict, set, type, BaseException, collections.deque, collections.OrderedDict),
    *(bytearray, array.array, *ITERATORS),
    *(collections.defaultdict, types.CellType, types.ModuleType, HANDLE, LOCK, RLOCK, _queue.SimpleQueue),
    *(_core.AtomicInt, _core.AtomicFloat, _core.AtomicFlag, _core.AtomicIntArray, _core.AtomicReference),
    *(_core.RWLock, _core.HashMap, _core.SyncMap, _core.SnapshotMap, _core.LockedMap),
)

# New objects of these types are published, for reports of contention.
CREATED: tuple[type, ...] = (LOCK, RLOCK, _queue.SimpleQueue, _core.RWLock)

intercepted: set[str] = set()  # the groups of METHODS
mutex = _thread.allocate_lock()  # held while methods are replaced: two tools may be started at once


def owner_name(owner: Any) -> str:
    """As rows of consumers.py name it."""
    return f"{owner.__module__}:{owner.__name__}" if isinstance(owner, type) else owner.__name__


def intercept_methods(groups: Iterable[str]) -> None:
    """Intercept the methods of these groups, each once for the process: there is no safe way back."""
    with mutex:
        for group in set(groups) - intercepted:
            intercept_group(group)
            intercepted.add(group)


# Left alone: a name that the owner inherits, because its method is intercepted where it is defined; a clock
# that a test has replaced; a type.
NOT_INTERCEPTED = (types.NoneType, types.FunctionType, type)


def intercept_group(group: str) -> None:
    for owner, action, names in METHODS[group]:
        for name in names:
            if not isinstance(vars(owner).get(name), NOT_INTERCEPTED):
                one_step = consumers.one_step(owner_name(owner), name)
                _core.probe.intercept_method(owner, name, action, one_step)
    if group == "accesses":
        _core.probe.replace_list_append()


def exclude_limbo_lock() -> None:
    """Every thread acquires it at its start and end, and that orders nothing."""
    _core.probe.exclude_lock(threading._active_limbo_lock)  # type: ignore[attr-defined]


def intercept_deallocations() -> None:
    """Publish the deallocation of all that events can name; once for the process, too."""
    exclude_limbo_lock()
    os.register_at_fork(after_in_child=exclude_limbo_lock)  # where threading has made another one
    for each in dict.fromkeys(TRACKED):
        intercept_deallocation(each)


tracked: set[type] = set()


def intercept_deallocation(owner: type) -> None:
    """Once for the process."""
    if owner not in tracked:
        tracked.add(owner)
        _core.probe.intercept_deallocation(owner)


def intercept_blocks() -> None:
    """Publish where threads block; once for the process."""
    with mutex:
        if "blocks" not in intercepted:
            _core.probe.set_lock_types(LOCK, RLOCK, _queue.SimpleQueue, HANDLE)
            intercept_deallocation(HANDLE)  # so that no handle's number is taken for that of a later one
            for owner in CREATED:
                _core.probe.intercept_creation(owner)
            intercepted.add("blocks")
    intercept_methods(("locks", "items", "joins", "creations"))
