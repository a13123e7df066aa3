"""LockedMap: a dict and one lock. It is the contract as a program, which every other map is compared with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import RLock
from time import monotonic
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from threadproof._core import DeadlockError, RemoveType, Turn
from threadproof.maps.contract import MISSING, ConcurrentMap, Missing
from threadproof.stats import Stats

K = TypeVar("K")
V = TypeVar("V")

PLAIN_NUMBERS = (int, float)  # adding these runs no code but Python's own


@dataclass(frozen=True, slots=True)
class LockedMapStats(Stats):
    """How big a LockedMap is: its entries, the different hashes of their keys, and the bytes of its dict."""

    size: int
    hashes: int
    bytes: int


class Computation(Generic[K, V]):
    """A function deciding a key's value: the turn that others wait for, and what it comes to."""

    __slots__ = ("hash", "outcome", "turn")

    outcome: V | Missing

    def __init__(self, key: K) -> None:
        self.hash = 0  # that of its entry, once it has one
        self.turn = Turn(key)


class Entry(NamedTuple, Generic[K, V]):
    """What readers see at a key: MISSING for no value, also while the first one is being computed."""

    hash: int
    key: K
    value: V | Missing
    computation: Computation[K, V] | None = None


Chain = tuple[Entry[K, V], ...]  # the entries of the keys with one hash


class Spot(NamedTuple, Generic[K, V]):
    """What a look at a key found. If the key is absent, its entry has no value and is not in the chain."""

    chain: Chain[K, V]
    entry: Entry[K, V]


class LockedMap(ConcurrentMap[K, V]):
    """A dict and one lock: the simplest map that keeps the contract. Use it to check another map against.

    Every write is: look, holding the lock just to read the dict; compare keys and decide, holding nothing;
    hold the lock to look again and store, or start over if the entries looked at have changed.

    The dict maps hashes (plain ints) to immutable tuples of entries, so that `__hash__`, `__eq__` and
    `__del__` of keys and values never run under the lock. Only what Python itself slips in between two byte
    codes can, a signal handler or a finalizer of the garbage collector: for it the lock is re-entrant, and
    nothing is called between the second look and the last store. Such code must not wait for a computation in
    the same map.

    Invariants, asserted by `check`: 1. no chain is empty; 2. an entry's hash is its chain's; 3. an entry has
    a value or a computation; 4. `_size` counts the entries that have a value.
    """

    __slots__ = ("__weakref__", "_chains", "_lock", "_size")

    _lock: RLock
    _chains: dict[int, Chain[K, V]]
    _size: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An empty map; `__init__` fills it."""
        self = super().__new__(cls)
        self._lock = RLock()
        self._chains = {}
        self._size = 0
        return self

    # The two steps everything is made of

    def _look(self, key: K) -> Spot[K, V]:
        code = hash(key)
        chain = self._chain(code)
        for entry in chain:
            if entry.key is key or entry.key == key:
                return Spot(chain, entry)
        return Spot(chain, Entry(code, key, MISSING))

    def _replace(self, spot: Spot[K, V], new: Entry[K, V]) -> bool:
        """Put `new` where the entry looked at is; False, and nothing is done, if the chain has changed."""
        code, chain = new.hash, _chain_with(spot, new)
        growth = (new.value is not MISSING) - (spot.entry.value is not MISSING)
        with self._lock:  # what is inside calls nothing: see the class
            if code in self._chains:
                if self._chains[code] is not spot.chain:
                    return False
            elif spot.chain:
                return False
            if chain:
                self._chains[code] = chain
            elif spot.chain:
                del self._chains[code]
            self._size += growth
            return True

    def _chain(self, code: int) -> Chain[K, V]:
        with self._lock:
            return self._chains.get(code, ())

    def _all_chains(self) -> list[Chain[K, V]]:
        with self._lock:
            return list(self._chains.values())

    # One key

    def _read(self, key: K) -> V | Missing:
        return self._look(key).entry.value

    def _exchange(self, key: K, new: V | Missing) -> V | Missing:
        while True:
            spot = self._look(key)
            if self._store(spot, new):
                return spot.entry.value

    def _exchange_if(
        self, key: K, expected: object, new: V | Missing, equal: Callable[[V, Any], object]
    ) -> bool:
        while True:
            spot = self._look(key)
            value = spot.entry.value
            if value is MISSING or not equal(value, expected):
                return False
            if self._store(spot, new):
                return True

    def _set_absent(self, key: K, default: V) -> V:
        while True:
            spot = self._look(key)
            value = spot.entry.value
            if value is not MISSING:
                return value
            if self._store(spot, default):
                return default

    def add(self, key: K, /, delta: Any = 1, initial: Any = 0) -> V:
        while True:
            spot = self._look(key)
            value: Any = initial if spot.entry.value is MISSING else spot.entry.value
            if type(value) not in PLAIN_NUMBERS or type(delta) not in PLAIN_NUMBERS:
                return super().add(key, delta, initial)
            total: V = value + delta
            if self._store(spot, total):
                return total

    def _store(self, spot: Spot[K, V], value: V | Missing) -> bool:
        """Store or remove the value; False, perhaps after waiting for a computation there: look again."""
        entry = spot.entry
        if entry.computation is not None:
            entry.computation.turn.wait()
            return False
        return self._replace(spot, Entry(entry.hash, entry.key, value))

    # Computations

    def _compute(
        self, key: K, step: Callable[[V | Missing], V | RemoveType], timeout: float | None
    ) -> V | Missing:
        deadline = None if timeout is None else monotonic() + timeout
        computation = Computation[K, V](key)
        try:
            self._begin(key, computation, deadline)
            new = step(computation.outcome)
            computation.outcome = MISSING if isinstance(new, RemoveType) else new
            return computation.outcome
        finally:
            self._finish(computation)
            computation.turn.end()

    def _begin(self, key: K, computation: Computation[K, V], deadline: float | None) -> None:
        """Put the computation at the key, once no other is there; so far its outcome is the old value."""
        while True:
            spot = self._look(key)
            entry = spot.entry
            computation.hash, computation.outcome = entry.hash, entry.value
            if entry.computation is not None:
                entry.computation.turn.wait(None if deadline is None else max(0, deadline - monotonic()))
            elif self._replace(spot, entry._replace(computation=computation)):
                return

    def _finish(self, computation: Computation[K, V]) -> None:
        """Put the outcome into the entry that has the computation. There is none after clear or drain."""
        while True:
            chain = self._chain(computation.hash)
            entry = next((entry for entry in chain if entry.computation is computation), None)
            if entry is None or self._replace(
                Spot(chain, entry), Entry(entry.hash, entry.key, computation.outcome)
            ):
                return

    # The whole map

    def __len__(self) -> int:
        with self._lock:
            return self._size

    def _entries(self) -> Iterator[tuple[K, V]]:
        for chain in self._all_chains():
            for entry in chain:
                if entry.value is not MISSING:
                    yield entry.key, entry.value

    def snapshot(self) -> Mapping[K, V]:
        return MappingProxyType(dict(self._entries()))

    def popitem(self) -> tuple[K, V]:
        while True:
            spot = self._newest()
            if spot is None:
                raise KeyError(f"{type(self).__name__}.popitem(): the map is empty")
            if self._store(spot, MISSING):
                return spot.entry.key, spot.entry.value  # type: ignore[return-value]  # not MISSING, see _idle_first

    def _newest(self) -> Spot[K, V] | None:
        """The last chain's entry; or any, if that one is being computed."""
        with self._lock:
            newest = next(reversed(self._chains.values()), ())
        spot = _idle_first([newest])
        if spot is None or spot.entry.computation is not None:
            spot = _idle_first(self._all_chains())
        return spot

    def clear(self) -> None:
        self._take_all()

    def drain(self) -> dict[K, V]:
        with self._lock:
            if Turn.held() and any(entry.computation for chain in self._all_chains() for entry in chain):
                raise DeadlockError(
                    f"{type(self).__name__}.drain() inside a computation could wait for itself, as this map "
                    "has computations running; drain after fn has returned"
                )
            taken = self._take_all()
        return dict(_outcomes(taken))

    def _take_all(self) -> dict[int, Chain[K, V]]:
        fresh: dict[int, Chain[K, V]] = {}
        with self._lock:
            taken = self._chains
            self._chains = fresh
            self._size = 0
        return taken

    def stats(self) -> LockedMapStats:
        with self._lock:
            return LockedMapStats(self._size, len(self._chains), sys.getsizeof(self._chains))

    def check(self) -> None:
        """Assert the invariants; no other thread may write meanwhile."""
        for code, chain in self._chains.items():
            assert chain, f"the chain of hash {code} is empty"
            for entry in chain:
                assert entry.hash == code, f"{entry} is in the chain of hash {code}"
                assert entry.value is not MISSING or entry.computation, f"{entry} has no value"
        values = sum(1 for _ in self._entries())
        assert self._size == values, f"size {self._size}, but {values} values"


def _chain_with(spot: Spot[K, V], new: Entry[K, V]) -> Chain[K, V]:
    """The chain with `new` in the place of the entry looked at; without either if there is nothing in it."""
    chain, old = spot
    place = next((place for place, entry in enumerate(chain) if entry is old), len(chain))
    kept = () if new.value is MISSING and new.computation is None else (new,)
    return chain[:place] + kept + chain[place + 1 :]


def _idle_first(chains: list[Chain[K, V]]) -> Spot[K, V] | None:
    """Some entry with a value; one that is not being computed, if there is one."""
    spots = [Spot(chain, entry) for chain in chains for entry in chain if entry.value is not MISSING]
    return min(spots, key=lambda spot: spot.entry.computation is not None, default=None)


def _outcomes(chains: dict[int, Chain[K, V]]) -> Iterator[tuple[K, V]]:
    """The entries, with the values that running computations come to."""
    for chain in chains.values():
        for entry in chain:
            value = entry.value
            if entry.computation is not None:
                entry.computation.turn.wait()
                value = entry.computation.outcome
            if value is not MISSING:
                yield entry.key, value
