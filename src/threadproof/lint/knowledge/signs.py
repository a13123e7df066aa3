"""What in a file suggests that threads run its code."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

SIGNS: Final = {
    "threads": re.compile(
        r"\b(import threading|from threading|import _thread|from _thread|concurrent\.futures"
        r"|ThreadPool|ThreadingMixIn|"
        r"ThreadingHTTPServer|to_thread|run_in_executor|start_new_thread|socketserver|http\.server)"
    ),
    "locks": re.compile(r"\b(R?Lock|Condition|Semaphore|RWLock|Mutex)\(|_lock\b"),
    "async": re.compile(r"\b(import asyncio|from asyncio|async def)\b"),
    "loops": re.compile(
        r"\b(import|from) (gevent|eventlet|twisted|[tT]kinter|curio|trio|asyncore\w*|asynchat\w*"
        r"|PyQt\d|PySide\d|qtpy|wx|gi\.repository)\b|\bimport (\w+, )*QtCore\b"
    ),
    "web": re.compile(r"\b(import|from) (flask|bottle|django|sanic|falcon|fastapi|starlette|pyramid)\b"),
    "claims": re.compile(r"thread[- ]?safe", re.IGNORECASE),
}


# A text with none of these words needs no search, which takes a tenth of all the time otherwise.
WORDS: Final = {
    "threads": ("thread", "Thread", "concurrent", "run_in_executor", "socketserver", "http.server"),
    "locks": ("Lock(", "_lock", "Condition(", "Semaphore(", "Mutex("),
    "async": ("async",),
    "loops": (
        "gevent",
        "eventlet",
        "twisted",
        "kinter",
        "curio",
        "trio",
        "asyncore",
        "asynchat",
        "Qt",
        "PySide",
        "qtpy",
        "wx",
        "gi.",
    ),
    "web": ("flask", "bottle", "django", "sanic", "falcon", "fastapi", "starlette", "pyramid"),
    "claims": ("hread", "HREAD"),
}


def signs_in(text: str) -> frozenset[str]:
    """The signs in a file's text."""
    return frozenset(
        name
        for name, sign in SIGNS.items()
        if any(word in text for word in WORDS[name]) and sign.search(text)
    )


# Classes whose objects exist to be used by many: the last word of the name says so. Those of the first kind
# do in any file of a program with threads, the others in a file that has threads or locks itself.
SHARED_KINDS: Final = re.compile(
    r"(Pool|Bus|Future|Promise|Deferred|Limiter|Throttle|Aggregat(or|ion)|Gauge|Histogram|Reservoir"
    r"|RoundRobin\w*)$"
)
OFTEN_SHARED_KINDS: Final = re.compile(r"(Cache|Registry|Broker|Hub)$")
CACHES: Final = re.compile(r"^_{0,2}cached?([A-Z_]|comp|date|$)|_cache$", re.IGNORECASE)


@cache
def is_shared_kind(name: str, has_threads: bool) -> bool:
    """Whether the objects of a class of this name, in a file with or without threads, are used by many."""
    return bool(SHARED_KINDS.search(name) or (has_threads and OFTEN_SHARED_KINDS.search(name)))


@cache
def is_cache(name: str) -> bool:
    """Whether an attribute of this name is a cache."""
    return bool(CACHES.search(name))


# Bases of classes whose objects have other attributes in each thread, and the names of such classes.
THREAD_LOCALS: Final = frozenset({"threading.local", "_thread._local", "_threading_local.local"})
LOCAL_NAMES: Final = re.compile(r"thread_?local", re.IGNORECASE)


@cache
def is_thread_local(class_ref: str) -> bool:
    """Whether a class is called so."""
    return bool(LOCAL_NAMES.search(class_ref.rpartition(".")[2]))
