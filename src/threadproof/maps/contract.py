"""The contract of every map: what each operation promises to a program with many threads.

While a function given to `compute` or one of its sisters runs, the calling thread has its *turn* at that key,
and holds no lock: readers see the old value until the function returns, other keys are as free as ever, and
only other writers of the same key wait.

operation                  | atomic step            | may wait for           | calls
---------------------------|------------------------|------------------------|--------------------------------
m[k], get, in              | the read               | nobody                 |
m[k] = v, swap             | the store              | a computation at k     |
del, pop                   | the removal            | a computation at k     |
setdefault                 | the read, or the store | if absent: as a store  |
popitem                    | the removal            | a computation, if      |
                           |                        | nothing else is left   |
compare_and_swap           | the replacement of the | a computation at k     | equal or ==, holding no turn;
compare_and_delete         | very value compared    |                        | again if the value was replaced
compute, merge             | the store of fn's      | a computation at k     | fn once, in a turn
                           | result                 |                        |
compute_if_absent          | the read, or the store | if absent: as compute  | fn once if absent, in a turn
compute_if_present         | the read, or the store | if present: as compute | fn once if present, in a turn
add                        | the addition           | a computation at k     | + once, in a turn; nothing
                           |                        |                        | if both are plain int or float
get_many, set_many, update | each key by itself     | as the operation on    |
delete_many, count_many    |                        | each key               |
len, snapshot, copy,       | one instant of the     | nobody                 |
pickle, ==, repr           | whole map              |                        |
clear                      | the whole map          | nobody                 |
drain                      | the whole map          | computations it took   |
iteration, views           | each key by itself     | nobody                 |

Every operation may call `__hash__` and `__eq__` of keys and drop the last reference to a value, so that
`__del__` runs. All of that is user code: it may raise, wait, or use the same map. It runs when no lock is
held, and what it raises comes out of the operation, which has then changed nothing (of several keys: the ones
before are done).

Waiting that would never end raises DeadlockError: a function that writes its own key, or threads whose
functions wait for each other, in one map or across maps. Nothing has changed then. To pop a key whose first
value is being computed waits for that value; a comparison that fails may say so without waiting.

Iteration sees every key that is there from beginning to end exactly once, and no key twice. It may miss, or
see, what comes or goes meanwhile, and never raises because of it. `dict(m)` asks for each key again, so
another thread's deletion can be a KeyError there: say `dict(m.snapshot())`, which is also one instant.
"""

from __future__ import annotations

import copyreg
from abc import abstractmethod
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from copy import copy as shallow_copy
from reprlib import recursive_repr
from typing import Any, Final, NoReturn, Self, TypeVar, cast, overload

from threadproof._core import REMOVE, DeadlockError, RemoveType
from threadproof.missing import MISSING, Missing
from threadproof.stats import Stats

__all__ = ["REMOVE", "ConcurrentMap", "DeadlockError"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class ConcurrentMap(MutableMapping[K, V]):
    """A mapping that any number of threads may use at once; the module has the table of promises.

    A new map implements the abstract methods and the first few private ones. What rests on them here is right
    for every map; a map overrides it where it can be faster. `cls.__new__(cls)` alone must give an empty map
    that works.
    """

    __slots__ = ()

    def __init__(self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> None:
        """Start with the entries of a mapping, or of pairs, and of keyword arguments, as dict does."""
        self.update(other, **kwargs)

    # What the operations on one key rest on. A native map overrides the operations instead.

    def _read(self, key: K) -> V | Missing:
        """The value of `key`."""
        raise NotImplementedError

    def _exchange(self, key: K, new: V | Missing) -> V | Missing:
        """Store `new`, or remove the key for MISSING; return the value that was there."""
        raise NotImplementedError

    def _exchange_if(
        self, key: K, expected: object, new: V | Missing, equal: Callable[[V, Any], object]
    ) -> bool:
        """`_exchange` if there is a value and `equal(value, expected)`; say whether it was so."""
        raise NotImplementedError

    def _set_absent(self, key: K, default: V) -> V:
        """Store `default` where there is no value; return the value that is there then."""
        raise NotImplementedError

    def _compute(
        self, key: K, step: Callable[[V | Missing], V | RemoveType], timeout: float | None
    ) -> V | Missing:
        """In a turn at `key`, store `step(value)`, or remove the key for REMOVE; return the new value."""
        raise NotImplementedError

    # One key: reading

    @overload
    def get(self, key: K, /, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """The value of `key`, or `default` where there is none.

        One atomic read. Waits for nobody; during a computation at `key` this is the value from before it.
        """
        value = self._read(key)
        return default if value is MISSING else value

    def __getitem__(self, key: K, /) -> V:
        """The value of `key`; KeyError where there is none. Otherwise as `get`."""
        value = self._read(key)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object, /) -> bool:
        """Whether `key` has a value. One atomic read; waits for nobody."""
        return self._read(key) is not MISSING  # type: ignore[arg-type]

    # One key: writing

    @overload
    def swap(self, key: K, value: V, /, default: None = None) -> V | None: ...
    @overload
    def swap(self, key: K, value: V, /, default: V | D) -> V | D: ...
    def swap(self, key: K, value: V, /, default: Any = None) -> Any:
        """Store `value`; return the value it replaced, or `default` where there was none.

        One atomic step: of all values stored, each is returned by exactly one swap, pop or their like. Waits
        for a computation at `key`, and raises DeadlockError from inside it.
        """
        old = self._exchange(key, value)
        return default if old is MISSING else old

    def __setitem__(self, key: K, value: V, /) -> None:
        """Store `value`. One atomic step; waits for a computation at `key`."""
        self._exchange(key, value)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V | D) -> V | D: ...
    def pop(self, key: K, /, default: Any = MISSING) -> Any:
        """Remove `key` and return its value; where there is none, `default`, or KeyError without one.

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
        """Remove `key`; KeyError where there is none. Otherwise as `pop`."""
        if self._exchange(key, MISSING) is MISSING:
            raise KeyError(key)

    @overload
    def setdefault(self: ConcurrentMap[K, D | None], key: K, /, default: None = None) -> D | None: ...
    @overload
    def setdefault(self, key: K, /, default: V) -> V: ...
    def setdefault(self, key: K, /, default: Any = None) -> Any:
        """The value of `key`, after storing `default` where there was none.

        One atomic step: of many threads one stores, and all return what it stored. Where `key` is present
        this is a read and waits for nobody; otherwise it waits for a computation at `key`. See
        `compute_if_absent` to make the default only when it is needed.
        """
        return self._set_absent(key, default)

    def compare_and_swap(
        self, key: K, expected: object, new: V, /, *, equal: Callable[[V, Any], object] | None = None
    ) -> bool:
        """Store `new` if the value of `key` is `expected`; say whether it was. False where the key is absent.

        `equal(current, expected)` decides; without it, identity and then `==`. It runs with no lock and no
        turn, so it may do anything; it runs again when another thread has replaced the value meanwhile, and
        the value is replaced only while it is still the one compared. When it raises, nothing has changed.
        Waits for a computation at `key`.
        """
        if equal is not None:
            check_function(self, "compare_and_swap", equal)
        return self._exchange_if(key, expected, new, equal or identical_or_equal)

    def compare_and_delete(
        self, key: K, expected: object, /, *, equal: Callable[[V, Any], object] | None = None
    ) -> bool:
        """Remove `key` if its value is `expected`; say whether it was. Otherwise as `compare_and_swap`."""
        if equal is not None:
            check_function(self, "compare_and_delete", equal)
        return self._exchange_if(key, expected, MISSING, equal or identical_or_equal)

    # One key: computing

    @overload
    def compute(
        self, key: K, fn: Callable[[V | None], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None: ...
    @overload
    def compute(
        self, key: K, fn: Callable[[V | D], V | RemoveType], /, default: D, *, timeout: float | None = None
    ) -> V | D: ...
    def compute(
        self, key: K, fn: Callable[[Any], Any], /, default: Any = None, *, timeout: float | None = None
    ) -> Any:
        """Store `fn(old)` and return it; `old` is the value of `key`, or `default` where there is none.

        One atomic step for all other writers of `key`. `fn` runs once, in this thread, holding no lock:
        readers see the old value until it returns, other keys are not affected, and other writers of `key`
        wait. Returning REMOVE removes the key and returns `default`. What `fn` raises comes out here, the old
        value stays, and the waiters go on. Waits first for a computation at `key` already running, at most
        `timeout` seconds: after that TimeoutError, and nothing has changed; how long `fn` takes is not
        limited. DeadlockError as the module says. When `clear` or `drain` come during `fn`, it counts as
        finished just before them.
        """
        self._check_computing("compute", fn, timeout)
        new = self._compute(key, lambda old: fn(default if old is MISSING else old), timeout)
        return default if new is MISSING else new

    def compute_if_absent(
        self, key: K, fn: Callable[[K], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None:
        """The value of `key`, after storing `fn(key)` where there was none.

        Of many threads one calls `fn`, and the others return what it stored. Where `key` is present this is a
        read and waits for nobody. When `fn` returns REMOVE the key stays absent and None is returned; when it
        raises, the next thread that waits calls its own `fn`. Otherwise as `compute`.
        """
        self._check_computing("compute_if_absent", fn, timeout)
        present = self._read(key)
        if present is MISSING:
            present = self._compute(key, lambda old: fn(key) if old is MISSING else old, timeout)
        return None if present is MISSING else present

    def compute_if_present(
        self, key: K, fn: Callable[[V], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None:
        """Store `fn(old)` and return it where `key` is present; otherwise return None and call nothing.

        REMOVE removes the key and returns None. Where `key` is absent this is a read and waits for nobody.
        Otherwise as `compute`.
        """
        self._check_computing("compute_if_present", fn, timeout)
        if self._read(key) is MISSING:
            return None
        new = self._compute(key, lambda old: REMOVE if old is MISSING else fn(old), timeout)
        return None if new is MISSING else new

    def merge(
        self, key: K, value: V, fn: Callable[[V, V], V | RemoveType], /, *, timeout: float | None = None
    ) -> V | None:
        """Store `value` where `key` is absent, else `fn(old, value)`; return what was stored.

        REMOVE removes the key and returns None. Otherwise as `compute`.
        """
        self._check_computing("merge", fn, timeout)
        new = self._compute(key, lambda old: value if old is MISSING else fn(old, value), timeout)
        return None if new is MISSING else new

    def add(self, key: K, /, delta: Any = 1, initial: Any = 0) -> V:
        """Add `delta` to the value of `key`, or to `initial` where there is none; return the sum.

        One atomic step: of many additions none is lost. Plain ints and floats are added without calling
        anything; other values by their own `+`, once, in a turn, as by `compute`. Waits for a computation at
        `key`.
        """
        return cast(V, self._compute(key, lambda old: (initial if old is MISSING else old) + delta, None))

    def _check_computing(self, method: str, fn: object, timeout: object) -> None:
        check_function(self, method, fn)
        check_timeout(self, method, timeout)

    # Many keys: each is one atomic step by itself

    @overload
    def get_many(self, keys: Iterable[K], /, default: None = None) -> list[V | None]: ...
    @overload
    def get_many(self, keys: Iterable[K], /, default: V | D) -> list[V | D]: ...
    def get_many(self, keys: Iterable[K], /, default: Any = None) -> list[Any]:
        """`[m.get(key, default) for key in keys]` in one call.

        This and its like may read a list in pieces: RuntimeError if somebody makes it shorter meanwhile, and
        what was to be changed has been for the keys before.
        """
        return [self.get(key, default) for key in list(keys)]

    def set_many(self, keys: Iterable[K], values: Iterable[V], /) -> None:
        """`m[key] = value` for each key and the value at its place, in order, in one call.

        Both are read to their ends first: when reading raises, or their lengths differ (ValueError), nothing
        is stored. When a key raises later, those before it are stored.
        """
        keys, values = list(keys), list(values)
        check_lengths(self, len(keys), len(values))
        for key, value in zip(keys, values, strict=True):
            self[key] = value

    def delete_many(self, keys: Iterable[K], /) -> int:
        """Remove each key; return how many of them were there. The keys are read to their end first."""
        return sum(self._exchange(key, MISSING) is not MISSING for key in list(keys))

    def count_many(self, keys: Iterable[K], /, delta: Any = 1) -> None:
        """`m.add(key, delta)` for each key: counts many things. The keys are read to their end first."""
        for key in list(keys):
            self.add(key, delta)

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        """Store the entries of a mapping, or of pairs, and of keyword arguments, as dict does.

        Each key is one atomic step. When something raises, what came before it is stored.
        """
        for key, value in _pairs(self, other):
            self[key] = value
        for name, value in kwargs.items():
            self[name] = value  # type: ignore[index]

    # The whole map

    @abstractmethod
    def __len__(self) -> int:
        """How many keys are there, at one instant between the call and the return. Waits for nobody."""

    @abstractmethod
    def clear(self) -> None:
        """Remove everything in one atomic step: what was stored before is gone, what is stored after stays.

        Waits for nobody: a computation running now counts as finished just before, so what it returns is
        dropped.
        """

    @abstractmethod
    def drain(self) -> dict[K, V]:
        """Remove everything, in one atomic step, and return it: every value is drained once, or stays.

        A computation running now counts as finished just before: drain waits for it and returns its result.
        From inside a computation, in this map or another, that could wait for itself: if this map has a
        computation running, DeadlockError is raised and nothing has changed. An interrupt while it waits
        loses what it took.
        """

    @abstractmethod
    def popitem(self) -> tuple[K, V]:
        """Remove some key and return it with its value; KeyError when the map is empty.

        One atomic step. Which key is not promised. Keys with a computation running are left alone as long as
        there are others; when there are no others, it waits for one of them.
        """

    @abstractmethod
    def _entries(self) -> Iterator[tuple[K, V]]:
        """The entries, as iteration sees them."""

    @abstractmethod
    def snapshot(self) -> Mapping[K, V]:
        """An unchanging copy of the map at one instant. Waits for nobody, and writers do not wait for it."""

    @abstractmethod
    def stats(self) -> Stats:
        """Figures about the map's health; cheap enough to ask for every second under load."""

    def __iter__(self) -> Iterator[K]:
        """The keys; see the module for what an iteration may miss."""
        return (key for key, _ in self._entries())

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
        """How copy, deepcopy and pickle make the map again: empty, then its attributes, then its entries."""
        return copyreg.__newobj__, (type(self),), self.__getstate__(), None, iter(self.snapshot().items())  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any] | None:
        """The instance's attributes; a subclass with slots of its own says what more there is."""
        return getattr(self, "__dict__", None) or None

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Self:
        """A new map that has `value` at each of the keys."""
        new = cls()
        for key in keys:
            new[key] = value
        return new

    def __or__(self, other: Mapping[Any, Any]) -> Self:
        """A copy, updated from the other mapping."""
        if not isinstance(other, Mapping):
            return NotImplemented
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other: Mapping[Any, Any]) -> Self:
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


class Items(ItemsView[K, V]):
    """A map's pairs; key and value come from one read, so that a deletion between two reads cannot hurt."""

    __slots__ = ()
    _mapping: ConcurrentMap[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._entries()


class Values(ValuesView[V]):
    """A map's values."""

    __slots__ = ()
    _mapping: ConcurrentMap[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._entries())

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)


def identical_or_equal(value: object, expected: object) -> bool:
    """How values are compared where nothing else is said: an object is itself, even NaN."""
    return bool(value is expected or value == expected)


# Arguments. Native maps raise the same words.

WANTED: Final = {
    "compute": ("fn(old) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "compute_if_absent": ("fn(key) -> value", "to store a value as it is, call setdefault()"),
    "compute_if_present": ("fn(old) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "merge": ("fn(old, value) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "compare_and_swap": ("equal(current, expected) -> bool", "without it, identity and == decide"),
    "compare_and_delete": ("equal(current, expected) -> bool", "without it, identity and == decide"),
}


def check_function(owner: object, method: str, fn: object) -> None:
    """TypeError for what cannot be called, with the signature `method` wants."""
    if not callable(fn):
        signature, way_out = WANTED[method]
        raise TypeError(f"{_called(owner, method)} wants {signature}, got {type(fn).__name__}; {way_out}")


def check_timeout(owner: object, method: str, timeout: object) -> None:
    """TypeError or ValueError for what is neither None nor a number of seconds, at least 0."""
    if timeout is None:
        return
    if not isinstance(timeout, int | float):
        raise TypeError(
            f"{_called(owner, method)} wants timeout in seconds, got {type(timeout).__name__}; "
            "to wait as long as it takes, leave it None"
        )
    if not timeout >= 0:
        raise ValueError(
            f"{_called(owner, method)} wants timeout in seconds, at least 0, got {timeout!r}; "
            "to wait as long as it takes, leave it None"
        )


def check_lengths(owner: object, keys: int, values: int) -> None:
    """ValueError for a different number of keys and values."""
    if keys != values:
        raise ValueError(
            f"{_called(owner, 'set_many')} wants a value for each key, got {keys} keys and {values} values"
        )


def _called(owner: object, method: str) -> str:
    return f"{type(owner).__name__}.{method}()"


def _pairs(owner: object, other: Any) -> Iterable[tuple[Any, Any]]:
    """The pairs of what `update` accepts: a mapping, anything with keys() and [], or pairs."""
    if isinstance(other, Mapping):
        return other.items()
    if hasattr(other, "keys"):
        return ((key, other[key]) for key in other.keys())  # noqa: SIM118  # it has keys(), and perhaps no iter()
    return _checked_pairs(owner, other)


def _checked_pairs(owner: object, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for place, item in enumerate(items):
        try:
            key, value = item
        except (TypeError, ValueError) as error:
            _refuse_pair(owner, place, item, error)
        yield key, value


def _refuse_pair(owner: object, place: int, item: object, error: Exception) -> NoReturn:
    refusal = TypeError if isinstance(error, TypeError) else ValueError
    raise refusal(
        f"{_called(owner, 'update')} wants pairs (key, value), but element {place} is {item!r}"
    ) from error
