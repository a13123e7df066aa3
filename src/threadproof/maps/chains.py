"""ChainedMap: how maps made of chains keep the contract, wherever the chains are stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from threadproof._core import DeadlockError, Entry, RemoveType, Turn
from threadproof.maps.contract import ConcurrentMap
from threadproof.missing import MISSING, Missing

K = TypeVar("K")
V = TypeVar("V")

PLAIN_NUMBERS = (int, float)  # adding these runs no code but Python's own


class Computation(Generic[K, V]):
    """A function deciding a key's value: the turn that others wait for, and what it comes to."""

    __slots__ = ("hash", "home", "outcome", "turn")

    outcome: V | Missing

    def __init__(self, key: K, home: object) -> None:
        self.hash = 0  # that of its entry, once it has one
        self.home: object = home  # its map's; in another, a copy made meanwhile, it means nothing
        self.turn = Turn(key)


Chain: TypeAlias = tuple[Entry[K, V], ...]  # the entries of the keys with one hash


class Spot(NamedTuple, Generic[K, V]):
    """What a look at a key found. If the key is absent, its entry has no value and is not in the chain."""

    chain: Chain[K, V]
    entry: Entry[K, V]


class ChainedMap(ConcurrentMap[K, V]):
    """A map from hashes (plain ints) to chains, which are immutable tuples of entries.

    Every write is: look; compare keys and decide, holding nothing; put a new chain in the place of the very
    chain looked at, or start over if another is there by now. So `__hash__`, `__eq__` and `__del__` of keys
    and values, and functions, never run under a lock. A subclass says where chains are stored: each of its
    abstract methods is one atomic step that runs no user code. Chains of the same entries are one chain.

    Invariants, asserted by `check`: 1. no chain is empty; 2. an entry's hash is its chain's; 3. an entry has
    a value or a computation; 4. the length is the number of entries with a value.
    """

    __slots__ = ()

    _home: object  # which map this is, for its computations

    @abstractmethod
    def _chain(self, code: int, /) -> Chain[K, V]:
        """The chain of a hash; empty if there is none."""

    @abstractmethod
    def _put(self, code: int, seen: Chain[K, V], new: Chain[K, V], growth: int, /) -> bool:
        """Store `new`, with `growth` more values, if `seen` is still there. An empty chain is none."""

    @abstractmethod
    def _all_chains(self) -> Iterable[Chain[K, V]]:
        """All chains as they are at one instant."""

    @abstractmethod
    def _some_chain(self) -> Chain[K, V]:
        """Some chain that is there, or none."""

    @abstractmethod
    def _take_all(self, refuse: Callable[[Iterable[Chain[K, V]]], None]) -> Iterable[Chain[K, V]]:
        """Remove all chains and return them, unless `refuse`, called with them in the same step, raises."""

    # The two steps everything is made of

    def _look(self, key: K) -> Spot[K, V]:
        code = hash(key)
        chain = self._chain(code)
        return Spot(chain, entry_at(chain, code, key))

    def _replace(self, spot: Spot[K, V], new: Entry[K, V]) -> bool:
        """Put `new` where the entry looked at is; False, and nothing is done, if the chain has changed."""
        growth = (new.value is not MISSING) - (spot.entry.value is not MISSING)
        return self._put(new.hash, spot.chain, _chain_with(spot, new), growth)

    def _running(self, entry: Entry[K, V]) -> Computation[K, V] | None:
        """The computation at this entry that writers wait for."""
        computation = entry.computation
        return computation if computation is not None and computation.home is self._home else None

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
        if (running := self._running(entry)) is not None:
            running.turn.wait()
            return False
        return self._replace(spot, Entry(entry.hash, entry.key, value))

    # Computations

    def _compute(
        self, key: K, step: Callable[[V | Missing], V | RemoveType], timeout: float | None
    ) -> V | Missing:
        deadline = None if timeout is None else monotonic() + timeout
        computation = Computation[K, V](key, self._home)
        try:
            self._begin(key, computation, deadline)
            new = step(computation.outcome)
            computation.outcome = MISSING if isinstance(new, RemoveType) else new
            return computation.outcome
        finally:
            self._end(computation)

    def _begin(self, key: K, computation: Computation[K, V], deadline: float | None) -> None:
        """Put the computation at the key, once no other is there; so far its outcome is the old value."""
        while True:
            spot = self._look(key)
            entry = spot.entry
            computation.hash, computation.outcome = entry.hash, entry.value
            if (running := self._running(entry)) is not None:
                running.turn.wait(None if deadline is None else max(0, deadline - monotonic()))
            elif self._replace(spot, Entry(entry.hash, entry.key, entry.value, computation)):
                return

    def _end(self, computation: Computation[K, V]) -> None:
        """Store the outcome; where even that fails, for want of memory, the old value stays and is free."""
        try:
            self._finish(computation)
        except BaseException:
            computation.home = None
            raise
        finally:
            computation.turn.end()

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

    def _entries(self) -> Iterator[tuple[K, V]]:
        return entries_of(self._all_chains())

    def snapshot(self) -> Mapping[K, V]:
        return MappingProxyType(dict(self._entries()))

    def popitem(self) -> tuple[K, V]:
        while True:
            spot = self._idle_first([self._some_chain()])
            if spot is None or self._running(spot.entry) is not None:
                spot = self._idle_first(self._all_chains())
            if spot is None:
                raise KeyError(f"{type(self).__name__}.popitem(): the map is empty")
            if self._store(spot, MISSING):
                return spot.entry.key, spot.entry.value  # type: ignore[return-value]  # not MISSING, see _idle_first

    def _idle_first(self, chains: Iterable[Chain[K, V]]) -> Spot[K, V] | None:
        """Some entry with a value; one that is not being computed, if there is one."""
        spots = [Spot(chain, entry) for chain in chains for entry in chain if entry.value is not MISSING]
        return min(spots, key=lambda spot: self._running(spot.entry) is not None, default=None)

    def clear(self) -> None:
        self._take_all(lambda chains: None)

    def drain(self) -> dict[K, V]:
        return dict(self._outcomes(self._take_all(self._refuse_computations)))

    def _outcomes(self, chains: Iterable[Chain[K, V]]) -> Iterator[tuple[K, V]]:
        """The entries, with the values that running computations come to."""
        for chain in chains:
            for entry in chain:
                value = entry.value
                if (running := self._running(entry)) is not None:
                    running.turn.wait()
                    value = running.outcome
                if value is not MISSING:
                    yield entry.key, value

    def _refuse_computations(self, chains: Iterable[Chain[K, V]]) -> None:
        if Turn.held() and any(self._running(entry) for chain in chains for entry in chain):
            raise DeadlockError(
                f"{type(self).__name__}.drain() inside a computation could wait for itself, as this map "
                "has computations running; drain after fn has returned"
            )

    def check(self) -> None:
        """Assert the invariants; no other thread may write meanwhile."""
        for chain in self._all_chains():
            assert chain, "a chain is empty"
            for entry in chain:
                assert same_entries(self._chain(entry.hash), chain), f"{entry.key!r} is in another's chain"
                assert entry.value is not MISSING or entry.computation, f"{entry.key!r} has no value"
        values = sum(1 for _ in self._entries())
        assert len(self) == values, f"len {len(self)}, but {values} values"


def entries_of(chains: Iterable[Chain[K, V]]) -> Iterator[tuple[K, V]]:
    """The entries that readers see."""
    return ((entry.key, entry.value) for chain in chains for entry in chain if entry.value is not MISSING)


def _chain_with(spot: Spot[K, V], new: Entry[K, V]) -> Chain[K, V]:
    """The chain with `new` in the place of the entry looked at; without either if there is nothing in it."""
    chain, old = spot
    place = next((place for place, entry in enumerate(chain) if entry is old), len(chain))
    kept = () if new.value is MISSING and new.computation is None else (new,)
    return chain[:place] + kept + chain[place + 1 :]


def entry_at(chain: Chain[K, V], code: int, key: K) -> Entry[K, V]:
    """The entry of a key whose hash is that of the chain; one with no value if the chain has none."""
    for entry in chain:
        if entry.key is key or entry.key == key:
            return entry
    return Entry(code, key, MISSING)


def same_entries(a: Chain[K, V], b: Chain[K, V]) -> bool:
    """Whether two chains are one and the same."""
    return len(a) == len(b) and all(map(lambda one, other: one is other, a, b))


def size_of(chain: Chain[K, V]) -> int:
    """How many values there are."""
    return sum(entry.value is not MISSING for entry in chain)
