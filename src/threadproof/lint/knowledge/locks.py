"""Locks: the types, and the names by which a lock is known where its type is not."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# What the same thread may do twice: "plain" locks it may not take again.
KINDS: Final = {
    "threading.Lock": "plain",
    "threading.RLock": "reentrant",
    "threading.Condition": "condition",
    "threading.Semaphore": "semaphore",
    "threading.BoundedSemaphore": "semaphore",
    "_thread.allocate_lock": "plain",
    "_thread.RLock": "reentrant",
    "thread.allocate_lock": "plain",
    "multiprocessing.Lock": "process",
    "multiprocessing.RLock": "process",
    "multiprocessing.Condition": "process",
    "multiprocessing.Semaphore": "process",
    "asyncio.Lock": "async",
    "asyncio.Condition": "async",
    "asyncio.Semaphore": "async",
    "asyncio.BoundedSemaphore": "async",
    "anyio.Lock": "async",
    "trio.Lock": "async",
    "tornado.locks.Lock": "async",
    "tornado.locks.Condition": "async",
    "tornado.locks.Semaphore": "async",
    "tornado.locks.BoundedSemaphore": "async",
    "gevent.lock.RLock": "reentrant",
    "gevent.lock.Semaphore": "semaphore",
    "gevent.lock.BoundedSemaphore": "semaphore",
    "threadproof.sync.RWLock": "unknown",
}
THREAD_KINDS: Final = frozenset({"plain", "reentrant", "condition", "semaphore", "unknown"})

# `_lock`, `rlock`, `lock_foo`, `mutex`, `cond`, `cv`, `sem`; not block, clock, unlock, locked, guard or
# flock.
NAMES: Final = re.compile(
    r"(^|_|\.)(r|w|rw|io|db|thread|tlock|m|read|write|g|global|class|inst|instance|state|cache|send|recv)?"
    r"(lock|locks|mutex|mutexes|rlock|rwlock|lck|cond|condition|cv|semaphore|sem|monitor)(_|$|\d|\[|\()"
    r"|Lock(s)?($|\(|\[)|Mutex($|\(|\[)|^not_empty$|^not_full$|^all_tasks_done$",
    re.IGNORECASE,
)
NOT_LOCKS: Final = re.compile(
    r"unlock|block(?!ing_lock)|clock|guard|flock|is_?locked|lock_?file|conditions?_(?!lock)", re.IGNORECASE
)

# Modules that pass the locks of `threading` on under their own name.
OWN_NAMES: Final = re.compile(r"thread|compat|(^|\.)moves|green")

# Factories: a library's own name for a lock constructor.
FACTORIES: Final = re.compile(
    r"(^|\.|_)(create|make|new|allocate|get)?_?(thread)?_?(r?lock|mutex|RLock|Lock)(_factory|_class|_cls|_type)?$"
)


@cache
def kind_of(value: str) -> str:
    """The kind of lock that a value is; "" if it is none, "unknown" if only its name suggests one."""
    name = value.removeprefix("call:")
    if name in KINDS:
        return KINDS[name]
    module, _, last = name.rpartition(".")
    if last.startswith(("Async", "Deferred")) and named_like_lock(last):
        return "async"
    if f"threading.{last}" in KINDS and value.startswith("call:"):
        return KINDS[f"threading.{last}"] if OWN_NAMES.search(module) else "unknown"
    if value.startswith("call:") and FACTORIES.search(name):
        return "unknown"
    return ""


@cache
def named_like_lock(ref: str) -> bool:
    """Whether the last part of a reference is what people call a lock."""
    last = ref.rpartition(".")[2]
    return bool(NAMES.search(last)) and not NOT_LOCKS.search(last)


AFTER: Final = re.compile(r"^_*(\w+?)_(r?lock|mutex|lck|cond|condition)$")


@cache
def named_after(lock: str) -> str:
    """What a lock is called after, without underscores: `uploads` of `_uploads_lock`; "" if after nothing."""
    found = AFTER.match(lock)
    return found[1] if found else ""
