"""Pool: objects that are reused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from threadproof._core import AtomicInt, AtomicReference, is_async, probe
from threadproof.stats import Stats, counter, gauge

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolStats(Stats):
    """The objects of a Pool. Objects that a thread takes from its own cache are not counted."""

    shared: int = field(metadata=gauge("objects", "idle objects, without those in the threads' own caches"))
    made: int = field(metadata=counter("objects", "objects made"))
    dropped: int = field(metadata=counter("objects", "objects dropped: no room, or left in an unknown state"))
    contended: int = field(metadata=counter("retries", "times that threads collided at the shared list"))


class Batch(NamedTuple, Generic[T]):
    """Idle objects that go from thread to thread together, and the batches below them."""

    objects: list[T]
    below: Batch[T] | None
    total: int  # of objects, here and below


class Cache(threading.local):
    """A thread's own idle objects."""

    def __init__(self) -> None:
        self.objects: list[Any] = []


class Pool(Generic[T]):
    """Idle objects, kept for reuse.

    Every thread has a cache of its own, which no other thread uses. A full cache goes to a shared list, from
    which a thread with an empty cache takes it; that is one atomic step. Nothing here takes a lock, so `put`
    may be called from `__del__`.

    At most `keep` objects are in the shared list, and `keep_local` in each thread's cache; more are dropped,
    and so is a cache when its thread ends. The number of objects in use is not limited.

    After a fork, parent and child both have the idle objects. If these are more than memory (a socket, a
    file), the two processes would share them: make a new pool in the child.
    """

    __slots__ = (
        "__weakref__",
        "_cache",
        "_dropped",
        "_keep",
        "_keep_local",
        "_made",
        "_make",
        "_reset",
        "_shared",
    )

    def __init__(
        self,
        make: Callable[[], T],
        reset: Callable[[T], object] | None = None,
        *,
        keep: int = 64,
        keep_local: int = 8,
    ) -> None:
        """Objects come from `make()`; `reset(object)` is called when an object is put back."""
        if keep < 0 or keep_local < 1:
            raise ValueError(
                f"Pool() wants keep of at least 0 and keep_local of at least 1, got {keep} and {keep_local}"
            )
        for given in (make, reset):
            if is_async(given):
                raise TypeError(
                    f"Pool() wants functions, and {getattr(given, '__qualname__', given)} is async: "
                    "its coroutine would be the object, or never run"
                )
        self._make = make
        self._reset = reset
        self._keep = keep
        self._keep_local = keep_local
        self._cache = Cache()
        self._shared: AtomicReference[Batch[T] | None] = AtomicReference(None)
        self._made = AtomicInt()
        self._dropped = AtomicInt()

    def get(self) -> T:
        """An idle object, or a new one. Never blocks; may call `make`, with no lock held."""
        try:
            return self._cache.objects.pop()  # type: ignore[no-any-return]  # a thread-local has no type parameter
        except IndexError:
            batch = self._take_batch()
        if batch:
            idle = batch.pop()
            self._cache.objects.extend(batch)
            return idle
        made = self._make()
        self._made.fetch_add()
        return made

    def put(self, used: T) -> None:
        """Give an object back; the caller must not use it any more, nor put it twice.

        Never blocks. Calls `reset`, with no lock held; if that raises, the object is dropped.
        """
        if self._reset is not None:
            self._reset_or_drop(used)
        cache: list[T] = self._cache.objects
        if len(cache) >= self._keep_local:
            self._give_batch(_take_all(cache))
        cache.append(used)

    def use(self) -> Use[T]:
        """`with pool.use() as x:` gets an object, and puts it back.

        If the block raises, the object is dropped, because its state is unknown.
        """
        return Use(self)

    def stats(self) -> PoolStats:
        """The objects in the shared list, and counts of those made and dropped."""
        top = self._shared.load()
        return PoolStats(
            0 if top is None else top.total,
            self._made.load(),
            self._dropped.load(),
            self._shared.stats().contended,
        )

    def _reset_or_drop(self, used: T) -> None:
        try:
            self._reset(used)  # type: ignore[misc]  # there is one
        except BaseException:
            self._drop(1)
            raise

    def _take_batch(self) -> list[T]:
        while True:
            top = self._shared.load()
            if top is None:
                return []
            if self._shared.compare_exchange(top, top.below):
                for each in top.objects if probe.listening else ():
                    probe.receive(self, each)
                return top.objects

    def _give_batch(self, objects: list[T]) -> None:
        for each in objects if probe.listening else ():
            probe.send(self, each)
        while True:
            top = self._shared.load()
            total = len(objects) + (0 if top is None else top.total)
            if total > self._keep:
                self._drop(len(objects))
                return
            if self._shared.compare_exchange(top, Batch(objects, top, total)):
                return

    def _drop(self, count: int) -> None:
        self._dropped.fetch_add(count)


def _take_all(cache: list[T]) -> list[T]:
    """The objects of a thread's cache, taken one by one, so that a finalizer in between takes none twice."""
    taken: list[T] = []
    with suppress(IndexError):
        while True:
            taken.append(cache.pop())
    return taken


class Use(Generic[T]):
    """An object of a pool while a `with` block uses it: one block at a time."""

    __slots__ = ("_object", "_pool")

    def __init__(self, pool: Pool[T]) -> None:
        self._pool = pool

    def __enter__(self) -> T:
        """Get an object."""
        if hasattr(self, "_object"):
            raise RuntimeError(
                "Pool.use() is in use already, and is for one block at a time; call use() for each"
            )
        self._object = self._pool.get()
        return self._object

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the object back, or drop it if the block raised."""
        used = self._object
        del self._object
        if kind is None:
            self._pool.put(used)
        else:
            self._pool._drop(1)


def dict_pool(*, keep: int = 64, keep_local: int = 8) -> Pool[dict[Any, Any]]:
    """A pool of empty dicts, cleared when they are put back.

    It saves making the dicts, not their tables: `dict.clear` frees the table, and every other way to empty a
    dict costs more than filling a new one. docs/sync.md has the measurements, and better ways.
    """
    pool: Pool[dict[Any, Any]] = Pool(dict, dict.clear, keep=keep, keep_local=keep_local)
    return pool
