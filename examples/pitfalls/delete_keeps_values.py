"""A map for many reads has two dicts: a copy, read without a lock, and the truth, written under a lock.

Promise: a deleted value is released, and its memory is freed.
"""

import weakref
from threading import Lock
from typing import Any

from meanwhile import report
from threadproof import HashMap


class Session:
    """A value that can have a weak reference."""


class ReadMostly:
    """A deletion marks the key; the entry stays in the copy until the next write makes a new copy."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._truth: dict[str, Session] = {}
        self._copy: dict[str, Session] = {}
        self._deleted: set[str] = set()

    def __setitem__(self, key: str, value: Session) -> None:
        with self._lock:
            self._truth[key] = value
            self._copy = dict(self._truth)
            self._deleted = set()

    def __delitem__(self, key: str) -> None:
        with self._lock:
            del self._truth[key]
            self._deleted.add(key)

    def get(self, key: str) -> Session | None:
        return None if key in self._deleted else self._copy.get(key)


def store_and_delete(sessions: Any) -> None:
    session = Session()
    watched = weakref.ref(session)
    sessions["alice"] = session
    del session, sessions["alice"]
    assert sessions.get("alice") is None
    assert watched() is None, "the session is deleted and still alive"


def naive() -> None:
    store_and_delete(ReadMostly())


def fixed() -> None:
    store_and_delete(HashMap())


if __name__ == "__main__":
    report(naive, fixed)
