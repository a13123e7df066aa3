"""SnapshotMap: a map of which every version can be kept, at the cost of a reference."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from copy import copy as shallow_copy
from dataclasses import dataclass, field
from itertools import islice
from reprlib import recursive_repr
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast, overload

from threadproof import _core
from threadproof._core import Entry, TrieVersion, probe
from threadproof.maps.arguments import identical_or_equal, pairs_of
from threadproof.maps.chains import Chain, ChainedMap, entry_at, same_entries, size_of
from threadproof.maps.contract import (
    COMPUTING,
    OLDEST,
    ConcurrentMap,
    Items,
    Keys,
    Values,
    age_of,
)
from threadproof.missing import MISSING
from threadproof.stats import Stats, counter, gauge

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


class ConflictError(RuntimeError):
    """A key that a transaction changes was changed by another thread meanwhile; nothing has changed."""


@dataclass(frozen=True, slots=True)
class SnapshotMapStats(Stats):
    """How big a SnapshotMap is, and how often its writers started again."""

    size: int = field(metadata=gauge("keys", "keys in the map"))
    bytes: int = field(
        metadata=gauge(
            "bytes",
            "memory of the trie's nodes, those shared with snapshots included, without keys and values",
        )
    )
    retries: int = field(
        metadata=counter(
            "retries", "times that a writer found that another had changed its key, and began again"
        )
    )
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)


class SnapshotValues(Values[V]):
    """The values of a SnapshotMap or a Snapshot."""

    __slots__ = ()

    def __iter__(self) -> Iterator[V]:
        return cast("SnapshotMap[Any, V]", self._mapping)._values()


class Snapshot(_core.Snapshot[K, V], Mapping[K, V]):
    """A map as it was at one instant, which never changes. Taking it copies nothing: it shares its nodes.

    It keeps its keys and values alive. Reading it takes no lock and never blocks. Its hash is that of its
    entries, if they can be hashed; the first call of `hash` takes time proportional to the size, as do
    comparisons and `repr`.
    """

    __slots__ = ("__weakref__", "_hash")

    _hash: int

    def __new__(cls, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V) -> Self:
        """A snapshot of the entries of a mapping, or of pairs, and of keyword arguments, as they are now."""
        return cls._of(SnapshotMap(other, **kwargs)._version())

    def to_dict(self) -> dict[K, V]:
        """A new dict of the entries."""
        return dict(self._entries())

    def keys(self) -> KeysView[K]:
        """The keys."""
        return Keys(self)

    def items(self) -> ItemsView[K, V]:
        """The pairs (key, value)."""
        return Items(cast(ConcurrentMap[K, V], self))

    def values(self) -> ValuesView[V]:
        """The values."""
        return SnapshotValues(cast(ConcurrentMap[K, V], self))

    def __eq__(self, other: object, /) -> bool:
        """Whether the other mapping has equal entries."""
        if isinstance(other, Snapshot) and other._version is self._version:
            return True
        return Mapping.__eq__(self, other)

    def __hash__(self) -> int:
        """The hash of the set of pairs; TypeError if a value cannot be hashed."""
        if not hasattr(self, "_hash"):
            self._hash = hash(frozenset(self.items()))
        return self._hash

    @recursive_repr("{...}")
    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.items())!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.items()),)


_core.adopt_methods(Snapshot, ConcurrentMap)
_core.provide("Snapshot", Snapshot)


class SnapshotMap(_core.SnapshotMap[K, V], ChainedMap[K, V]):
    """A map whose `snapshot`, `clear` and copies by `SnapshotMap(m)` take the same time at any size.

    ChainedMap explains how it keeps the contract; its chains are in a persistent trie behind an atomic
    reference. Reads and `len` take no lock. A writer takes the map's one lock for some nanoseconds.
    It copies the few nodes on the way to its key that a snapshot has, and changes the others in place.

    `snapshot` takes the lock for a moment if the map has changed since the last one, and keeps its keys and
    values alive. Iteration is over a snapshot. The
    entries that `clear` removes are freed in the same call, after the step, if no snapshot has them.

    On free-threaded Python a map that a second thread has used is freed by the garbage collector, as a
    HashMap is. A removed str, bytes, float or big int key may be released some time after its removal.
    """

    __slots__ = ("__weakref__",)

    if TYPE_CHECKING:  # as dict in typeshed: a base class cannot name the class with other parameters

        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: None = None, /) -> SnapshotMap[A, Any]: ...
        @overload
        @classmethod
        def fromkeys(cls, keys: Iterable[A], value: B, /) -> SnapshotMap[A, B]: ...
        @classmethod
        def fromkeys(cls, keys: Any, value: Any = None, /) -> Any: ...
        def set_many(self, keys: Iterable[K], values: Iterable[V], /) -> None: ...
        @overload
        def __or__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __or__(self, other: Mapping[A, B]) -> SnapshotMap[K | A, V | B]: ...
        def __or__(self, other: Any) -> Any: ...
        @overload
        def __ror__(self, other: Mapping[K, V]) -> Self: ...
        @overload
        def __ror__(self, other: Mapping[A, B]) -> SnapshotMap[K | A, V | B]: ...
        def __ror__(self, other: Any) -> Any: ...
    else:

        @classmethod
        def fromkeys(cls, keys, value=None, /):
            """A new map with `value` at each of the keys."""
            new = cls()
            if type(new).__setitem__ is SnapshotMap.__setitem__:  # __new__ can make another object
                keys = list(keys)
                new.set_many(keys, [value] * len(keys))
            else:
                for key in keys:
                    new[key] = value
            return new

    @overload
    def __init__(self, /) -> None: ...
    @overload
    def __init__(
        self: SnapshotMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
        /,
        **kwargs: V,
    ) -> None: ...
    @overload
    def __init__(self, other: Mapping[K, V], /) -> None: ...
    @overload
    def __init__(
        self: SnapshotMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
        other: Mapping[str, V],
        /,
        **kwargs: V,
    ) -> None: ...
    @overload
    def __init__(self, other: Iterable[tuple[K, V]], /) -> None: ...
    @overload
    def __init__(
        self: SnapshotMap[str, V],  # pyright: ignore[reportInvalidTypeVarUse]
        other: Iterable[tuple[str, V]],
        /,
        **kwargs: V,
    ) -> None: ...
    def __init__(self, other: Any = (), /, **kwargs: Any) -> None:
        """Start with the entries of a mapping, or of pairs, and of keyword arguments, as dict does.

        A Snapshot or another SnapshotMap is not copied: both share it from then on, until they change.
        """
        if isinstance(other, SnapshotMap):
            other = other.snapshot()
        if isinstance(other, Snapshot) and self._adopt(cast(Snapshot[K, V], other)):
            other = ()
        super().__init__(other, **kwargs)

    @staticmethod
    def _of(version: TrieVersion[K, V]) -> SnapshotMap[K, V]:
        """A map that begins as this version."""
        new: SnapshotMap[K, V] = SnapshotMap()
        new._advance(new._version(), version)
        return new

    def _adopt(self, snapshot: Snapshot[K, V]) -> bool:
        """Take over the snapshot's version if this map is empty."""
        base = self._version()
        if probe.listening:
            probe.change_map(self)
        return not base.first() and self._advance(base, snapshot._version)

    # The storage of chains; the other methods are native

    def _all_chains(self) -> Iterable[Chain[K, V]]:
        return self._version().chains()

    def _some_chain(self) -> Chain[K, V]:
        return self._version().first()

    # Many keys

    def update(  # type: ignore[override]
        self, other: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **kwargs: V
    ) -> None:
        if type(other) is dict:
            frozen = cast(dict[K, V], other).copy()  # the keys and values of one instant
            self.set_many(list(frozen), list(frozen.values()))
            other = ()
        elif isinstance(other, dict | MappingProxyType | Snapshot | ConcurrentMap):
            other = list(cast(Mapping[K, V], other).items())
        if type(other) is list or type(other) is tuple:
            pairs = cast(list[tuple[K, V]] | tuple[tuple[K, V], ...], other)
            known = self._set_pairs(pairs)
            other = islice(pairs_of(self, pairs), known, None) if known < len(pairs) else ()
        super().update(other, **kwargs)

    def values(self) -> ValuesView[V]:
        """A live view of the values."""
        return SnapshotValues(self)

    # The whole map

    def copy(self) -> Self:
        """A new map of the same class with the entries, and the instance attributes, of one instant.

        Both share the entries, as SnapshotMap(m) does: this takes the same time at any size.
        """
        return shallow_copy(self)

    def __copy__(self) -> Self:
        snapshot = self.snapshot()
        new = type(self).__new__(type(self))
        if (state := self.__getstate__()) is not None:
            set_state(new, state)
        new._adopt(snapshot)
        return new

    def stats(self) -> SnapshotMapStats:
        return SnapshotMapStats(len(self), self._bytes(), self._retries(), *age_of(self))

    def check(self) -> None:
        self._check_version()
        super().check()

    # Transactions

    def transaction(self) -> Transaction[K, V]:
        """Change many keys in one atomic step, or none: `with m.transaction() as t:`.

        `t` is a SnapshotMap that begins as a snapshot of `m`; the block changes it, and other threads do not
        see that. When the block ends, all its changes become visible at once. If it raises, nothing has
        changed.

        The end never blocks. If a key that the block has changed was changed in `m` meanwhile, or a
        computation is running there, ConflictError is raised and nothing has changed: run the block again.
        Keys with one hash count as one. Keys that the block has only read are not compared: write
        `t[k] = t[k]` for a key that must not have changed.
        """
        return Transaction(self)

    def _publish(self, base: TrieVersion[K, V], wanted: TrieVersion[K, V]) -> None:
        """Apply the changes from `base` to `wanted` to the newest version."""
        if not probe.listening and not self._computations() and self._advance(base, wanted):
            return
        changes = [(seen, new) for seen, new in base.differences(wanted) if not same_entries(seen, new)]
        for seen, new in changes:
            self._refuse_running(seen, new)
            for entry in (*seen, *new) if probe.listening else ():
                probe.update_key(self, entry.key, bool(seen))
        while True:
            newest = self._version()
            merged = wanted if newest is base else self._merged(newest, changes)
            if self._advance(newest, merged):
                return

    def _merged(
        self, version: TrieVersion[K, V], changes: list[tuple[Chain[K, V], Chain[K, V]]]
    ) -> TrieVersion[K, V]:
        merged: SnapshotMap[K, V] = SnapshotMap._of(version)
        for seen, new in changes:
            code = (seen or new)[0].hash
            now = merged._chain(code)
            if not same_entries(now, seen):
                self._refuse(seen or new, "was changed in the map meanwhile")
            merged._put(code, now, new, size_of(new) - size_of(seen))
        return merged._version()

    def _refuse_running(self, seen: Chain[K, V], new: Chain[K, V]) -> None:
        kept = {id(entry) for entry in new}
        for entry in seen:
            if self._running(entry) is not None and id(entry) not in kept:
                self._refuse((entry,), "is being computed in the map")

    def _refuse(self, chain: Chain[K, V], what: str) -> NoReturn:
        keys = ", ".join(repr(entry.key) for entry in chain)
        raise ConflictError(
            f"{type(self).__name__}.transaction() changed key {keys}, which {what}; nothing has changed, "
            "so run the block again"
        )


_core.adopt_methods(SnapshotMap, ConcurrentMap)


class Transaction(Generic[K, V]):
    """What `SnapshotMap.transaction` returns: for one `with` block."""

    __slots__ = ("_base", "_changed", "_map")

    _base: TrieVersion[K, V]
    _changed: SnapshotMap[K, V]

    def __init__(self, changes: SnapshotMap[K, V]) -> None:
        self._map = changes

    def __enter__(self) -> SnapshotMap[K, V]:
        """Begin; returns the map to change."""
        if hasattr(self, "_base"):
            raise RuntimeError("SnapshotMap.transaction() is for one with block; call it for each")
        if probe.listening:
            probe.about_to_read(self._map)
        self._base = self._map._version()
        if probe.listening:
            probe.read_map(self._map)
        self._changed = SnapshotMap._of(self._base)
        return self._changed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End: all changes become visible at once, or none if the block has raised."""
        if kind is None:
            self._map._publish(self._base, self._changed._version())


def set_state(new: Any, state: Any) -> None:
    """Set what `__getstate__` has returned, as the module copy does."""
    if hasattr(new, "__setstate__"):
        new.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    new.__dict__.update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(new, name, value)


@dataclass(frozen=True, slots=True)
class Diff(Generic[K, V]):
    """The difference between two snapshots."""

    added: dict[K, V]
    removed: dict[K, V]
    changed: dict[K, tuple[V, V]]  # the value before, the value after


def diff(before: Snapshot[K, V], after: Snapshot[K, V]) -> Diff[K, V]:
    """The entries that were added, removed and changed between two snapshots of one map or of its copies.

    Takes time proportional to the number of writes between them: nodes that they share are not visited.
    Equal values count as unchanged.
    """
    result: Diff[K, V] = Diff({}, {}, {})
    for here, there in before._version.differences(after._version):
        for entry in here:
            _note(result, entry.key, entry, entry_at(there, entry.hash, entry.key))
        for entry in there:
            old = entry_at(here, entry.hash, entry.key)
            if old not in here:
                _note(result, entry.key, old, entry)
    return result


def _note(result: Diff[K, V], key: K, old: Entry[K, V], new: Entry[K, V]) -> None:
    if old.value is MISSING:
        if new.value is not MISSING:
            result.added[key] = new.value
    elif new.value is MISSING:
        result.removed[key] = old.value
    elif not identical_or_equal(old.value, new.value):
        result.changed[key] = old.value, new.value
