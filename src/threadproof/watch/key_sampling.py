"""Which keys of a map are used most: a bounded session that samples the keys of its calls.

    hot = hot_keys(sessions, seconds=5)
    hot.share  # of all sampled calls, the share of the most frequent key

For the session, the map gets a subclass of its own class, whose methods note the key of one call in `every`
and then do the same as before. Outside a session a map has no more to do than any other, for it has its own
class again. A call through a bound method that the program took before (`get = sessions.get`) is not seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from threadproof.watch.space_saving import Counted, SpaceSaving

# The methods whose first argument is a key.
KEYED = (
    *("__getitem__", "__setitem__", "__delitem__", "__contains__", "get", "swap", "pop", "setdefault", "add"),
    *(
        "compare_and_swap",
        "compare_and_delete",
        "compute",
        "compute_if_absent",
        "compute_if_present",
        "merge",
    ),
    "get_or_load",
)
MOST = 100_000  # sampled keys: a session ends early rather than take memory without a bound


@dataclass(frozen=True)
class HotKeys:
    """The most frequent keys of a sampling session."""

    calls: int  # that were sampled
    top: Sequence[Counted]
    seconds: float

    @property
    def share(self) -> float:
        """The share of the most frequent key in all sampled calls, at least; 0.0 if there were none."""
        return (self.top[0].count - self.top[0].error) / self.calls if self.calls else 0.0


class Session:
    """The sampled keys of one map. Any thread may note a key: an append to a list is atomic."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.keys: list[Hashable] = []

    def note(self, key: Hashable) -> None:
        """Keep one key in `every`, at random: a program's calls may have a rhythm."""
        if random.own.random() * self.every < 1.0 and len(self.keys) < MOST:
            self.keys.append(key)


class PerThread(threading.local):
    """A generator for each thread: threads that share one wait for each other."""

    def __init__(self) -> None:
        self.own = Random()


random = PerThread()
sessions: dict[int, Session] = {}  # by the address of the map, which stays alive during its session
sampled_classes: dict[type, type] = {}  # never emptied: a thread may be in a method of one at any time
starting = threading.Lock()


def hot_keys(structure: Any, seconds: float = 5.0, *, every: int = 64, count: int = 10) -> HotKeys:
    """Sample the keys of a map's calls for `seconds`, and return the most frequent ones. Blocks meanwhile.

    One call in `every` is noted. RuntimeError if a session on the map is under way; TypeError for a structure
    without keys, or whose class cannot be replaced.
    """
    if not (seconds > 0 and every >= 1):
        raise ValueError(
            f"hot_keys() needs seconds above 0 and every of at least 1, got {seconds} and {every}"
        )
    began, session = time.monotonic(), begin(structure, every)
    try:
        time.sleep(seconds)
    finally:
        end(structure)
    return ranked(session.keys, count, time.monotonic() - began)


def ranked(keys: Sequence[Hashable], count: int, seconds: float) -> HotKeys:
    counters = SpaceSaving()
    for key in keys:
        counters.add(key)
    return HotKeys(counters.total, counters.top(count), seconds)


def begin(structure: Any, every: int) -> Session:
    with starting:
        if id(structure) in sessions:
            raise RuntimeError(f"the keys of this {type(structure).__name__} are being sampled already")
        sampled = sampled_class(type(structure))
        session = sessions[id(structure)] = Session(every)
        try:
            set_class(structure, sampled)
        except TypeError:
            del sessions[id(structure)]
            raise TypeError(f"the class of a {type(structure).__name__} cannot be replaced") from None
    return session


def end(structure: Any) -> None:
    with starting:
        set_class(structure, type(structure).__base__)
        del sessions[id(structure)]


set_class = object.__dict__["__class__"].__set__  # also where a class has a property of that name


def sampled_class(kind: type) -> type:
    """A subclass that has the same name and layout; made once for each class."""
    if kind not in sampled_classes:
        names = [name for name in KEYED if hasattr(kind, name)]
        if not hasattr(kind, "__getitem__"):
            raise TypeError(f"hot_keys() needs a map, and a {kind.__name__} has no keys")
        methods: dict[str, Any] = {name: noting(kind, name) for name in names}
        methods |= {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
        # Pickling compares the two: a pickle has the class that the map has outside a session.
        methods |= {"__reduce_ex__": reducing(kind), "__class__": property(lambda self: kind)}
        if hasattr(kind, "__copy__"):
            methods["__copy__"] = copying(kind)
        sampled_classes[kind] = type(kind.__name__, (kind,), methods)
    return sampled_classes[kind]


def noting(kind: type, name: str) -> Callable[..., Any]:
    method = getattr(kind, name)

    def noted(self: Any, key: Any, /, *args: Any, **kwargs: Any) -> Any:
        if (session := sessions.get(id(self))) is not None:
            session.note(key)
        return method(self, key, *args, **kwargs)

    return noted


def copying(kind: Any) -> Callable[[Any], Any]:
    """So has the copy that a class makes in its own way."""

    def copied(self: Any) -> Any:
        copy = kind.__copy__(self)
        if type(copy) is sampled_classes[kind]:
            set_class(copy, kind)
        return copy

    return copied


def reducing(kind: type) -> Callable[[Any, Any], Any]:
    """A copy, and a pickled map, have the class that the map has outside a session."""

    def reduced(self: Any, protocol: Any) -> Any:
        made = cast(Any, kind).__reduce_ex__(self, protocol)
        sampled = sampled_classes[kind]
        if not isinstance(made, tuple):
            return made
        own = tuple(kind if each is sampled else each for each in made[1])
        return (kind if made[0] is sampled else made[0], own, *made[2:])

    return reduced
