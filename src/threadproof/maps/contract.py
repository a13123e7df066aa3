"""The contract of every map: what each operation promises to a program with many threads.

A function given to `compute` or its relatives runs while its key is *reserved* for the calling thread, with
no lock held: readers see the old value until the function returns, other keys are not affected, and only
other writers of the same key wait. The time from the reservation to the storing of the result is a
*computation*.

operation                  | atomic step            | may wait for           | calls
---------------------------|------------------------|------------------------|--------------------------------
m[k], get, in              | the read               | nothing                |
m[k] = v, swap             | the store              | a computation at k     |
del, pop                   | the removal            | a computation at k     |
setdefault                 | the read, or the store | if absent: as a store  |
popitem                    | the removal            | a computation, if      |
                           |                        | nothing else is left   |
compare_and_swap           | the replacement of the | a computation at k     | equal or ==, with k not
compare_and_delete         | very value compared    |                        | reserved; again if the value
                           |                        |                        | was replaced
compute, merge             | the store of fn's      | a computation at k     | fn once, with k reserved
                           | result                 |                        |
compute_if_absent          | the read, or the store | if absent: as compute  | fn once if absent, k reserved
compute_if_present         | the read, or the store | if present: as compute | fn once if present, k reserved
add                        | the addition           | a computation at k     | + once, k reserved; nothing
                           |                        |                        | if both are plain int or float
get_many, set_many, update | each key separately    | as the operation on    |
delete_many, count_many    |                        | each key               |
len, snapshot, copy,       | one instant of the     | nothing                |
pickle, ==, repr           | whole map              |                        |
clear                      | the whole map          | nothing                |
drain                      | the whole map          | computations it took   |
iteration, views           | each key separately    | nothing                |

Every operation may call `__hash__` and `__eq__` of keys, and may release the last reference to a value, so
that `__del__` runs. All of these are user code: it may raise, block, or use the same map. It runs with no
lock held. Its exception is raised by the operation, which has then changed nothing (of several keys:
those before are done).

A wait that would never end raises DeadlockError, and nothing has changed: a function that writes its own key,
or threads whose functions wait for each other, in one map or across maps. Popping a key whose first value is
being computed waits for that value; a comparison that fails may return without waiting.

Iteration sees every key that is there from beginning to end exactly once, and no key twice. It may see or
miss the keys that come or go meanwhile, and never raises because of them. `dict(m)` reads each key again, so
another thread's deletion can be a KeyError there: use `dict(m.snapshot())`, which is also one instant.
"""

from __future__ import annotations

import copyreg
from abc import abstractmethod
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from copy import copy as shallow_copy
from dataclasses import dataclass
from operator import itemgetter
from reprlib import recursive_repr
from typing import Any, Final, Self, TypeVar, cast, overload

from threadproof._core import REMOVE, DeadlockError, RemoveType, check_timeout, probe
from threadproof.maps.arguments import check_function, check_lengths, identical_or_equal, pairs_of
from threadproof.maps.frozen import FrozenDict
from threadproof.missing import MISSING, Missing
from threadproof.stats import Stats, duration, gauge

__all__ = ["REMOVE", "Computation", "ConcurrentMap", "DeadlockError", "FrozenDict"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Computation:
    """A computation that is running in a map."""

    key: object
    thread: int  # its identifier, as threading.Thread.ident and faulthandler have it
    seconds: float  # since it began, 4 ms or so behind


class ConcurrentMap(MutableMapping[K, V]):
    """A mapping that any number of threads may use at once; the module has the table of promises.

    A new map implements the abstract methods and the first few private ones. The other methods are built on
    those, and are right for every map; a map may override them with faster ones. `cls.__new__(cls)` alone
    must make an empty map that works.

    The private methods publish to `probe` what they do to a key, those that only read excepted: `_read` is
    part of several operations, and these publish it.
    """

    __slots__ = ()

    def __init__(self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> None:
        """Start with the entries of a mapping, or of pairs, and of keyword arguments, as dict does."""
        self.update(other, **kwargs)

    # The operations on one key are built on these. A native map overrides the operations instead.

    def _read(self, key: K) -> V | Missing:
        """The value of `key`."""
        raise NotImplementedError

    def _exchange(self, key: K, new: V | Missing, blind: bool = False) -> V | Missing:
        """Store `new`, or remove the key for MISSING; return the value that was there.

        `blind`: the caller of the map does not get that, so this is a store, and not one step with a read.
        """
        raise NotImplementedError

    def _exchange_if(
        self, key: K, expected: object, new: V | Missing, equal: Callable[[V, Any], object]
    ) -> bool:
        """`_exchange` if there is a value and `equal(value, expected)`; return whether there was."""
        raise NotImplementedError

    def _set_absent(self, key: K, default: V) -> V:
        """Store `default` if there is no value; return the value that is there then."""
        raise NotImplementedError

    def _compute(
        self, key: K, step: Callable[[V | Missing], V | RemoveType], timeout: float | None, /
    ) -> V | Missing:
        """With `key` reserved, store `step(value)`, or remove the key for REMOVE; return the new value."""
        raise NotImplementedError

    # One key: reading

    @overload
    def get(self, key: K, /, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """The value of `key`, or `default` if there is none.

        One atomic read. Never blocks; during a computation at `key` this is the value from before it.
        """
        value = self._read(key)
        if probe.listening:
            probe.read_key(self, key, value is not MISSING, True)
        return default if value is MISSING else value

    def __getitem__(self, key: K, /) -> V:
        """The value of `key`; KeyError if there is none. Otherwise as `get`."""
        value = self._read(key)
        if probe.listening:
            probe.read_key(self, key, value is not MISSING, False)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object, /) -> bool:
        """Whether `key` has a value. One atomic read; never blocks."""
        found = self._read(key) is not MISSING  # type: ignore[arg-type]
        if probe.listening:
            probe.read_key(self, key, found, True)
        return found

    # One key: writing

    @overload
    def swap(self, key: K, value: V, /, default: None = None) -> V | None: ...
    @overload
    def swap(self, key: K, value: V, /, default: V | D) -> V | D: ...
    def swap(self, key: K, value: V, /, default: Any = None) -> Any:
        """Store `value`; return the value that it replaced, or `default` if there was none.

        One atomic step: a value that was stored is returned by at most one swap or pop. Waits for a
        computation at `key`, and raises DeadlockError from inside it.
        """
        old = self._exchange(key, value)
        return default if old is MISSING else old

    def __setitem__(self, key: K, value: V, /) -> None:
        """Store `value`. One atomic step; waits for a computation at `key`."""
        self._exchange(key, value, True)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V | D) -> V | D: ...
    def pop(self, key: K, /, default: Any = MISSING) -> Any:
        """Remove `key` and return its value; if there is none, `default`, or KeyError without one.

        One atomic step: a value is popped by one thread. Waits for a computation at `key`, and raises
        DeadlockError from inside it.
        """
        old = self._exchange(key, MISSING)
        if old is not MISSING:
            return old
        if default is MISSING:
            raise KeyError(key)
        return default

    def __delitem__(self, key: K, /) -> None:
        """Remove `key`; KeyError if there is none. Otherwise as `pop`."""
        if self._exchange(key, MISSING, True) is MISSING:
            raise KeyError(key)

    @overload
    def setdefault(self: ConcurrentMap[K, D | None], key: K, /, default: None = None) -> D | None: ...
    @overload
    def setdefault(self, key: K, /, default: V) -> V: ...
    def setdefault(self, key: K, /, default: Any = None) -> Any:
        """The value of `key`, after storing `default` if there was none.

        One atomic step: of many threads one stores, and all return the value that it stored. If `key` is
        present this is a read and never blocks; otherwise it waits for a computation at `key`. To make the
        default only when it is needed, see `compute_if_absent`.
        """
        return self._set_absent(key, default)

    def compare_and_swap(
        self, key: K, expected: object, new: V, /, *, equal: Callable[[V, Any], object] | None = None
    ) -> bool:
        """Store `new` if the value of `key` is `expected`; return whether it was. False if the key is absent.

        `equal(current, expected)` decides; without it, identity and then `==`. It runs with no lock held and
        the key not reserved, so it may do anything. The value is replaced only if it is still the one that
        was compared; if another thread has replaced it meanwhile, the comparison runs again. If the
        comparison raises, nothing has changed. Waits for a computation at `key`.
        """
        if equal is not None:
            check_function(self, "compare_and_swap", equal)
        return self._exchange_if(key, expected, new, equal or identical_or_equal)

    def compare_and_delete(
        self, key: K, expected: object, /, *, equal: Callable[[V, Any], object] | None = None
    ) -> bool:
        """Remove `key` if its value is `expected`; return whether it was. Otherwise as `compare_and_swap`."""
        if equal is not None:
            check_function(self, "compare_and_delete", equal)
        return self._exchange_if(key, expected, MISSING, equal or identical_or_equal)

    # One key: computing

    @overload
    def compute(
        self, key: K, fn: Callable[[V | None], V], /, default: None = None, *, timeout: float | None = None
    ) -> V: ...
    @overload
    def compute(
        self,
        key: K,
        fn: Callable[[V | None], V | RemoveType],
        /,
        default: None = None,
        *,
        timeout: float | None = None,
    ) -> V | None: ...
    @overload
    def compute(
        self, key: K, fn: Callable[[V | D], V], /, default: D, *, timeout: float | None = None
    ) -> V: ...
    @overload
    def compute(
        self, key: K, fn: Callable[[V | D], V | RemoveType], /, default: D, *, timeout: float | None = None
    ) -> V | D: ...
    def compute(
        self, key: K, fn: Callable[[Any], Any], /, default: Any = None, *, timeout: float | None = None
    ) -> Any:
        """Store `fn(old)` and return it; `old` is the value of `key`, or `default` if there is none.

        One atomic step for all other writers of `key`. `fn` runs once, in this thread, with `key` reserved
        and no lock held: readers see the old value until it returns, other keys are not affected, and other
        writers of `key` wait. If `fn` returns REMOVE, the key is removed and `default` returned. If `fn`
        raises, the exception comes out here, the old value stays, and the waiting threads continue.

        Waits first for a computation that is running at `key` already, at most `timeout` seconds: after that
        TimeoutError, and nothing has changed. The duration of `fn` is not limited. DeadlockError: see the
        module. If `clear` or `drain` is called during `fn`, the computation counts as finished just before.
        """
        self._check_computing("compute", fn, timeout)
        new = self._compute(key, lambda old: fn(default if old is MISSING else old), timeout)
        return default if new is MISSING else new

    @overload
    def compute_if_absent(self, key: K, fn: Callable[[K], V], /, *, timeout: float | None = None) -> V: ...
    @overload
    def compute_if_absent(
        self, key: K, fn: Callable[[K], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None: ...
    def compute_if_absent(self, key: K, fn: Callable[[K], Any], /, *, timeout: float | None = None) -> Any:
        """The value of `key`, after storing `fn(key)` if there was none.

        Of many threads one calls `fn`, and the others return the value that it stored. If `key` is present
        this is a read and never blocks. If `fn` returns REMOVE, the key stays absent and None is returned; if
        it raises, the next thread that waits calls its own `fn`. Otherwise as `compute`.

        For an empty list, dict or set, write `lambda key: []`: the type itself would be given the key.
        """
        self._check_computing("compute_if_absent", fn, timeout)
        present = self._read(key)
        if present is not MISSING:
            if probe.listening:
                probe.observe_key(self, key)
        else:
            present = self._compute(key, lambda old: fn(key) if old is MISSING else old, timeout)
        return None if present is MISSING else present

    def compute_if_present(
        self, key: K, fn: Callable[[V], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None:
        """Store `fn(old)` and return it if `key` is present; otherwise return None and call nothing.

        REMOVE removes the key and returns None. If `key` is absent this is a read and never blocks. Otherwise
        as `compute`.
        """
        self._check_computing("compute_if_present", fn, timeout)
        if self._read(key) is MISSING:
            if probe.listening:
                probe.observe_key(self, key)
            return None
        new = self._compute(key, lambda old: REMOVE if old is MISSING else fn(old), timeout)
        return None if new is MISSING else new

    @overload
    def merge(self, key: K, value: V, fn: Callable[[V, V], V], /, *, timeout: float | None = None) -> V: ...
    @overload
    def merge(
        self, key: K, value: V, fn: Callable[[V, V], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None: ...
    def merge(self, key: K, value: V, fn: Callable[[V, V], Any], /, *, timeout: float | None = None) -> Any:
        """Store `value` if `key` is absent, else `fn(old, value)`; return the stored value.

        REMOVE removes the key and returns None. Otherwise as `compute`.
        """
        self._check_computing("merge", fn, timeout)
        new = self._compute(key, lambda old: value if old is MISSING else fn(old, value), timeout)
        return None if new is MISSING else new

    def add(self, key: K, /, delta: Any = 1, initial: Any = 0) -> V:
        """Add `delta` to the value of `key`, or to `initial` if there is none; return the sum.

        One atomic step: no addition is lost. Plain ints and floats are added without calling user code; other
        values by their own `+`, once, with `key` reserved, as in `compute`. Waits for a computation at `key`.
        What `+` raises has a note that names the map and the key.
        """

        def step(old: Any) -> Any:
            try:
                return (initial if old is MISSING else old) + delta
            except BaseException as error:
                error.add_note(f"in {type(self).__name__}.add() at key {key!r}")
                raise

        return cast(V, self._compute(key, step, None))

    def _check_computing(self, method: str, fn: object, timeout: object) -> None:
        check_function(self, method, fn)
        check_timeout(self, method, timeout)

    # Many keys: each key is one atomic step

    @overload
    def get_many(self, keys: Iterable[K], /, default: None = None) -> list[V | None]: ...
    @overload
    def get_many(self, keys: Iterable[K], /, default: V | D) -> list[V | D]: ...
    def get_many(self, keys: Iterable[K], /, default: Any = None) -> list[Any]:
        """`[m.get(key, default) for key in keys]` in one call.

        The methods for many keys may read a list in pieces: RuntimeError if it becomes shorter meanwhile, and
        the keys before are done.
        """
        return [self.get(key, default) for key in list(keys)]

    def set_many(self, keys: Iterable[K], values: Iterable[V], /) -> None:
        """`m[key] = value` for each key and the value at its place, in order, in one call.

        Both are read to their ends first: if reading raises, or their lengths differ (ValueError), nothing is
        stored. If a key raises later, those before it are stored.
        """
        keys, values = list(keys), list(values)
        check_lengths(self, len(keys), len(values))
        for key, value in zip(keys, values, strict=True):
            self[key] = value

    def delete_many(self, keys: Iterable[K], /) -> int:
        """Remove each key; return how many of them were there. The keys are read to their end first."""
        return sum(self._exchange(key, MISSING) is not MISSING for key in list(keys))

    def count_many(self, keys: Iterable[K], /, delta: Any = 1) -> None:
        """`m.add(key, delta)` for each key: counts them. The keys are read to their end first."""
        for key in list(keys):
            self.add(key, delta)

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        """Store the entries of a mapping, or of pairs, and of keyword arguments, as dict does.

        Each key is one atomic step. If a key raises, those before it are stored.
        """
        for key, value in pairs_of(self, other):
            self[key] = value
        for name, value in kwargs.items():
            self[name] = value  # type: ignore[index]

    # The whole map

    @abstractmethod
    def __len__(self) -> int:
        """The number of keys at one instant between the call and the return. Never blocks."""

    @abstractmethod
    def clear(self) -> None:
        """Remove everything in one atomic step: values stored before are gone, values stored after stay.

        Never blocks: a computation running now counts as finished just before, so its result is dropped.
        """

    @abstractmethod
    def drain(self) -> dict[K, V]:
        """Remove everything in one atomic step, and return it: every value is drained once, or stays.

        A computation running now counts as finished just before: drain waits for it and returns its result.
        Inside a computation, in this map or another, drain could wait for itself: if this map has a
        computation running, DeadlockError is raised and nothing has changed.

        If it raises, because a signal handler does during the wait, or `__hash__` or `__eq__` of a key while
        the dict is made, the entries are stored again at the keys that are absent by then, and running
        computations continue there: nothing is lost. The one exception is a key that cannot be compared with
        a newer key of the same hash: it is reported by sys.unraisablehook.
        """

    @abstractmethod
    def popitem(self) -> tuple[K, V]:
        """Remove some key and return it with its value; KeyError when the map is empty.

        One atomic step. It may be any key. Keys with a computation running are skipped while there are
        others; if there are no others, it waits for one of them.
        """

    @abstractmethod
    def _entries(self) -> Iterator[tuple[K, V]]:
        """The entries, as iteration sees them."""

    @abstractmethod
    def snapshot(self) -> Mapping[K, V]:
        """A copy of the map at one instant, which no thread changes. Never blocks; no writer waits for it.

        A FrozenDict, a dict that cannot be changed; of a SnapshotMap, a Snapshot. For JSON, see `to_dict`.
        """

    def to_dict(self) -> dict[K, V]:
        """A new dict of the entries at one instant. `dict(m)` reads key after key, and can raise KeyError."""
        return dict(self.snapshot())

    @abstractmethod
    def stats(self) -> Stats:
        """Metrics of the map; cheap enough to be read every second under load.

        `size` and `bytes` are among them: the number of keys, and the memory without keys and values.
        """

    def computations(self) -> list[Computation]:
        """The computations that are running now, the newest first. Takes a lock for some nanoseconds."""
        return [Computation(*each) for each in self._computations()]

    def _computations(self) -> list[tuple[object, int, float]]:
        """A key, a thread and seconds for each running computation."""
        return []

    def __sizeof__(self) -> int:
        """Bytes of the map, without its keys and values, as sys.getsizeof() of a dict."""
        return object.__sizeof__(self) + int(self.stats().bytes)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[K]:
        """The keys; the module says which of them an iteration may miss. Threads may share the iterator."""
        return map(KEY, self._entries())  # no generator: threads must not share those

    def keys(self) -> KeysView[K]:
        """A live, set-like view of the keys."""
        return Keys(self)

    def items(self) -> ItemsView[K, V]:
        """A live, set-like view of the pairs (key, value): each pair was in the map at one instant."""
        return Items(self)

    def values(self) -> ValuesView[V]:
        """A live view of the values."""
        return Values(self)

    def __eq__(self, other: object, /) -> bool:
        """Whether both have equal entries, by a snapshot of each map."""
        if not isinstance(other, Mapping):
            return NotImplemented
        theirs = other.snapshot() if isinstance(other, ConcurrentMap) else other
        return bool(self.snapshot() == theirs)

    __hash__ = None  # type: ignore[assignment]

    @recursive_repr("{...}")
    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.snapshot())!r})"

    # New maps

    def copy(self) -> Self:
        """A new map of the same class with the entries, and the instance attributes, of one instant."""
        return shallow_copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy, deepcopy and pickle make an empty map, then set its attributes, then store its entries."""
        return copyreg.__newobj__, (type(self),), self.__getstate__(), None, iter(self.snapshot().items())  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any] | None:
        """The instance's attributes; a subclass with slots of its own adds those."""
        return getattr(self, "__dict__", None) or None

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Any:
        """A new map with `value` at each of the keys."""
        new = cls()
        for key in keys:
            new[key] = value
        return new

    def __or__(self, other: Mapping[Any, Any]) -> Any:
        """A copy, updated from the other mapping."""
        if not isinstance(other, Mapping):
            return NotImplemented
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other: Mapping[Any, Any]) -> Any:
        """A map of this class with the other mapping's entries, updated from this one."""
        if not isinstance(other, Mapping):
            return NotImplemented
        new = type(self).__new__(type(self))
        new.update(other)
        new.update(self.snapshot())
        return new

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Self:
        """`update`, as an operator."""
        self.update(other)
        return self


KEY: Final[Callable[[tuple[Any, Any]], Any]] = itemgetter(0)
VALUE: Final[Callable[[tuple[Any, Any]], Any]] = itemgetter(1)


class Keys(KeysView[K]):
    """A map's keys."""

    __slots__ = ()
    _mapping: Mapping[K, Any]

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping)


class Items(ItemsView[K, V]):
    """A map's pairs. Key and value come from one read, so a deletion in between cannot raise KeyError."""

    __slots__ = ()
    _mapping: ConcurrentMap[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._entries()


class Values(ValuesView[V]):
    """A map's values."""

    __slots__ = ()
    _mapping: ConcurrentMap[Any, V]

    def __iter__(self) -> Iterator[V]:
        return map(VALUE, self._mapping._entries())

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)


COMPUTING: Final[Mapping[str, object]] = gauge(
    "computations", "computations running now; computations() lists them"
)
OLDEST: Final[Mapping[str, object]] = duration("since the oldest of the running computations began")


def age_of(m: ConcurrentMap[Any, Any]) -> tuple[int, float]:
    """How many computations are running in a map, and the seconds since the oldest began."""
    running = m._computations()
    return len(running), max((each[2] for each in running), default=0.0)
