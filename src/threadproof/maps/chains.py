"""ChainedMap: a map made of chains, wherever these are stored, that keeps the contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from threadproof._core import Entry, Reservation, probe, provide
from threadproof.maps.contract import ConcurrentMap, FrozenDict
from threadproof.missing import MISSING, Missing

K = TypeVar("K")
V = TypeVar("V")

provide("MISSING", MISSING)

PLAIN_NUMBERS = (int, float)  # adding these runs no user code


Chain: TypeAlias = tuple[Entry[K, V], ...]  # the entries of the keys with one hash


class Seen(NamedTuple, Generic[K, V]):
    """A chain as it was seen, and a key's entry in it. The entry of an absent key is empty, and not in it."""

    chain: Chain[K, V]
    entry: Entry[K, V]


class ChainedMap(ConcurrentMap[K, V]):
    """A map from hashes (plain ints) to chains, which are immutable tuples of entries.

    Every write is: look; compare keys and decide, with no lock held; put a new chain in the place of exactly
    the chain that was seen, or start over if there is another by now. So `__hash__`, `__eq__` and `__del__`
    of keys and values, and functions, never run under a lock. A subclass stores the chains: each of its
    abstract methods is one atomic step that runs no user code. Chains of the same entries count as the same
    chain.

    `_compute`, `drain` and `clear` are native: see src/ext/maps/chain_map.hpp. An interrupt can come between
    any two steps of Python, and these must not stop half-way.

    Invariants, asserted by `check`: 1. no chain is empty; 2. an entry's hash is its chain's; 3. an entry has
    a value or a computation; 4. the length is the number of entries with a value.
    """

    __slots__ = ()

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
    def _running(self, entry: Entry[K, V], /) -> Reservation | None:
        """The reservation at this entry for which writers have to wait, if there is one."""

    # The two steps of which everything is made

    def _look(self, key: K) -> Seen[K, V]:
        code = hash(key)
        if probe.listening:
            probe.about_to_read(self)
        chain = self._chain(code)
        return Seen(chain, entry_at(chain, code, key))

    def _replace(self, seen: Seen[K, V], new: Entry[K, V]) -> bool:
        """Put `new` in the place of the entry that was seen; False if the chain has changed since."""
        growth = (new.value is not MISSING) - (seen.entry.value is not MISSING)
        return self._put(new.hash, seen.chain, _chain_with(seen, new), growth)

    # One key

    def _read(self, key: K) -> V | Missing:
        return self._look(key).entry.value

    def _exchange(self, key: K, new: V | Missing, blind: bool = False) -> V | Missing:
        while True:
            seen = self._look(key)
            if self._store(seen, new, blind):
                if probe.listening and not (blind and new is not MISSING):
                    probe.observe_key(self, key)
                return seen.entry.value

    def _exchange_if(
        self, key: K, expected: object, new: V | Missing, equal: Callable[[V, Any], object]
    ) -> bool:
        while True:
            seen = self._look(key)
            value = seen.entry.value
            if probe.listening:
                probe.observe_key(self, key)
            if value is MISSING or not equal(value, expected):
                return False
            if self._store(seen, new):
                return True

    def _set_absent(self, key: K, default: V) -> V:
        while True:
            seen = self._look(key)
            value = seen.entry.value
            if value is not MISSING:
                if probe.listening:
                    probe.observe_key(self, key)
                return value
            if self._store(seen, default):
                if probe.listening:
                    probe.observe_key(self, key)
                return default

    def add(self, key: K, /, delta: Any = 1, initial: Any = 0) -> V:
        while True:
            seen = self._look(key)
            value: Any = initial if seen.entry.value is MISSING else seen.entry.value
            if type(value) not in PLAIN_NUMBERS or type(delta) not in PLAIN_NUMBERS:
                return ConcurrentMap.add(self, key, delta, initial)
            total: V = value + delta
            if self._store(seen, total):
                if probe.listening:
                    probe.observe_key(self, key)
                return total

    def _store(self, seen: Seen[K, V], value: V | Missing, blind: bool = False) -> bool:
        """Store or remove the value; False, perhaps after waiting for a computation there, to begin again."""
        entry = seen.entry
        if (running := self._running(entry)) is not None:
            running.wait()
            return False
        if probe.listening:
            publish = probe.change_key if blind else probe.update_key
            publish(self, entry.key, entry.value is not MISSING)
        return self._replace(seen, Entry(entry.hash, entry.key, value))

    # The whole map

    def snapshot(self) -> Mapping[K, V]:
        return FrozenDict(self._entries())

    def popitem(self) -> tuple[K, V]:
        while True:
            if probe.listening:
                probe.about_to_read(self)
            seen = self._idle_first([self._some_chain()])
            if seen is None or self._running(seen.entry) is not None:
                seen = self._idle_first(self._all_chains())
            if seen is None:
                raise KeyError(f"{type(self).__name__}.popitem(): the map is empty")
            if self._store(seen, MISSING):
                if probe.listening:
                    probe.observe_key(self, seen.entry.key)
                return seen.entry.key, seen.entry.value  # type: ignore[return-value]  # not MISSING, see _idle_first

    def _idle_first(self, chains: Iterable[Chain[K, V]]) -> Seen[K, V] | None:
        """Some entry with a value; one that is not being computed, if there is one."""
        candidates = [Seen(chain, entry) for chain in chains for entry in chain if entry.value is not MISSING]
        return min(candidates, key=lambda seen: self._running(seen.entry) is not None, default=None)

    def check(self) -> None:
        """Assert the invariants; no other thread may write meanwhile."""
        for chain in self._all_chains():
            assert chain, "a chain is empty"
            for entry in chain:
                assert same_entries(self._chain(entry.hash), chain), f"{entry.key!r} is in another's chain"
                assert entry.value is not MISSING or entry.computation, f"{entry.key!r} has no value"
        values = sum(map(size_of, self._all_chains()))
        assert len(self) == values, f"len {len(self)}, but {values} values"


def _chain_with(seen: Seen[K, V], new: Entry[K, V]) -> Chain[K, V]:
    """The chain with `new` in the place of the entry that was seen; without both if `new` is empty."""
    chain, old = seen
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
    """Whether two chains have the same entries, which makes them the same chain."""
    return len(a) == len(b) and all(map(lambda one, other: one is other, a, b))


def size_of(chain: Chain[K, V]) -> int:
    """How many values there are."""
    return sum(entry.value is not MISSING for entry in chain)
