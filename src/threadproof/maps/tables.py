"""TabledMap: chains in dicts, each under its own lock. LockedMap has one dict, ShardedMap has many."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from itertools import chain as chained
from operator import attrgetter
from typing import Any, Self, TypeAlias, TypeVar

from threadproof.maps.chains import Chain, ChainedMap

K = TypeVar("K")
V = TypeVar("V")

Lock: TypeAlias = AbstractContextManager[object]


class Table(dict[int, Chain[K, V]]):
    """Hashes with their chains, and the number of entries that have a value."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


class TabledMap(ChainedMap[K, V]):
    """A map of tables, each under its own lock; a subclass chooses their number and the table of each key.

    No user code runs under a lock, except the code that Python itself runs between two byte codes: a signal
    handler, or a finalizer of the garbage collector. For these the locks are re-entrant, and under a lock
    there is only one read, and then one store after which nothing is read. Such code must not wait for a
    computation in the same map.

    Steps on the whole map take all locks, in the order of their tables, and act in one call of C or in one
    assignment.
    """

    __slots__ = ("__weakref__", "_home", "_locks", "_tables")

    _locks: tuple[Lock, ...]
    _tables: tuple[Table[K, V], ...]  # replaced as a whole, under all locks

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An empty map; `__init__` fills it."""
        self = super().__new__(cls)
        self._home = object()
        self._locks = self._new_locks()
        self._tables = self._new_tables()
        return self

    @abstractmethod
    def _new_locks(self) -> tuple[Lock, ...]:
        """Re-entrant locks, one for each table."""

    @abstractmethod
    def _place(self, code: int) -> int:
        """The index of the table for keys with this hash."""

    def _new_tables(self) -> tuple[Table[K, V], ...]:
        return tuple(Table[K, V]() for _ in self._locks)

    # One hash

    def _chain(self, code: int, /) -> Chain[K, V]:
        place = self._place(code)
        with self._locks[place]:
            return self._tables[place].get(code, ())

    def _put(self, code: int, seen: Chain[K, V], new: Chain[K, V], growth: int, /) -> bool:
        place = self._place(code)
        with self._locks[place]:  # the block calls nothing: see the class
            table = self._tables[place]
            if code in table:
                if table[code] is not seen:
                    return False
            elif seen:
                return False
            if new:
                table[code] = new
            elif seen:
                del table[code]
            table.size += growth
            return True

    # The whole map

    def _all_locks(self) -> ExitStack:
        """A context in which all locks are held."""
        with ExitStack() as stack:
            for lock in self._locks:
                stack.enter_context(lock)
            return stack.pop_all()

    def __len__(self) -> int:
        with self._all_locks():
            return sum(map(attrgetter("size"), self._tables))

    def _all_chains(self) -> Iterable[Chain[K, V]]:
        with self._all_locks():
            copies = list(map(dict.copy, self._tables))
        return chained.from_iterable(table.values() for table in copies)

    def _some_chain(self) -> Chain[K, V]:
        for lock, table in zip(self._locks, self._tables, strict=True):
            with lock:
                newest = next(reversed(table.values()), ())
            if newest:
                return newest
        return ()

    def _take_all(self, refuse: Callable[[Iterable[Chain[K, V]]], None]) -> Iterable[Chain[K, V]]:
        fresh = self._new_tables()
        with self._all_locks():
            refuse(chained.from_iterable(table.values() for table in self._tables))
            taken = self._tables
            self._tables = fresh
        return chained.from_iterable(table.values() for table in taken)
