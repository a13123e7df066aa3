"""Loads: the values that a Cache is loading now, each once, for all threads and tasks that wait for them."""

from __future__ import annotations

import asyncio
import functools
import operator
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar, cast

from threadproof import _core
from threadproof._core import REMOVE, DeadlockError
from threadproof.maps.cache_threads import run_in_background
from threadproof.maps.contract import ConcurrentMap
from threadproof.maps.hash_map import HashMap

K = TypeVar("K")
V = TypeVar("V")

FAILED: Final = object()


class Load:
    """One load. A thread's has a reservation, by which deadlocks are found; a task's has a loop.

    A thread's load of one key is its reservation alone, see ext/maps/cache_loads.hpp. If others wait for it,
    a Load that follows it gets the outcome.

    `lock` guards `stale`, `decided`, `waiting`. The load asks `decide()` right before its value is stored:
    from then on `invalidate` has to remove the value, and before, it has only to mark the load.
    """

    def __init__(self, reservation: _core.Reservation | None = None) -> None:
        self.reservation = reservation
        self.thread = threading.get_ident()
        self.future: Future[Any] = Future()
        self.lock = threading.Lock()
        self.stale = self.decided = False
        self.waiting = 0  # tasks
        self.refreshes = False  # the key has a value, which is served meanwhile
        self.task: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def decide(self) -> bool:
        """Whether the value may be stored."""
        with self.lock:
            self.decided = True
            return not self.stale

    def discard(self) -> bool:
        """Mark the load; False if it is too late."""
        with self.lock:
            self.stale = True
            return not self.decided

    def succeed(self, value: object) -> None:
        self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)

    def wait(self, timeout: float | None) -> Any:
        """The result for a thread; FAILED if the thread or the loop of the load has gone without one."""
        if self.reservation is not None:
            self.reservation.wait(timeout)
            if not self.future.done():  # a fork has left its thread behind
                return FAILED
        elif self.thread == threading.get_ident():
            raise DeadlockError("the value is being loaded by a task of this very thread; await cache.load()")
        try:
            return self.future.result(timeout)
        except asyncio.CancelledError:
            return FAILED
        except TimeoutError:
            if self.future.done():
                raise
            raise TimeoutError("the load took longer than the timeout") from None

    def join(self) -> bool:
        """A task begins to wait; False if the load is over."""
        with self.lock:
            self.waiting += not self.future.done()
            return not self.future.done()

    def leave(self) -> None:
        """A waiting task was cancelled. The last one cancels the load."""
        with self.lock:
            self.waiting -= 1
            last = self.waiting == 0 and self.task is not None and not self.future.done()
        if last and self.loop is not None and self.task is not None:
            self.loop.call_soon_threadsafe(self.task.cancel)


def replace_value(cache: ConcurrentMap[K, V], key: K, old: Any, new: Any) -> None:
    """Put a new value, or with REMOVE none, in the place of exactly the old one."""
    if new is REMOVE:
        cache.compare_and_delete(key, old, equal=operator.is_)  # lint: ignore[CM501] a newer value stays
    else:
        cache.compare_and_swap(key, old, new, equal=operator.is_)  # lint: ignore[CM501] a newer value stays


def load_of(running: Load | _core.Reservation) -> Load | None:
    """The Load, or one that follows the reservation; None if that is over."""
    return running if isinstance(running, Load) else running.attach(Load(running))


def reserves(load: Load | _core.Reservation) -> bool:
    """Whether the key is reserved in the cache."""
    if isinstance(load, _core.Reservation):
        return True
    return load.reservation is not None and not load.refreshes


class Loads(Generic[K, V]):
    """The running loads of a cache, by key, and how many there were.

    It has no reference to the cache, which is given to each method: a cycle would keep the cache alive.
    """

    def __init__(
        self, loader: Callable[[K], V] | None, errors: ConcurrentMap[K, Exception] | None = None
    ) -> None:
        self.loader = loader
        self._errors = errors  # of loaders, as long as they are raised again
        self._running: HashMap[K, Load | _core.Reservation] = HashMap.counted()
        self.native = _core.CacheLoads(self._running)

    @property
    def plain(self) -> bool:
        """Whether a load is no more than a call of its loader."""
        return self._errors is None

    def metrics(self) -> tuple[int, int, float]:
        """Loads, failures, seconds."""
        return self.native.metrics()

    # Threads

    def get(
        self, cache: ConcurrentMap[K, V], key: K, loader: Callable[[K], V] | None, timeout: float | None
    ) -> V:
        """The value, loaded by this thread or by another."""
        loader = self._checked(loader)
        if self._errors is not None:
            self._raise_again(key)
            loader = functools.partial(self._called, loader)
        while True:
            value = self.native.load(cache, key, loader, FAILED, timeout)
            if value is FAILED:
                value = self._wait(key, timeout)
            if value is not FAILED:
                return cast(V, value)

    def _wait(self, key: K, timeout: float | None) -> Any:
        """The result of the load that is running; FAILED if there is none."""
        running = self._running.get(key)
        load = None if running is None else load_of(running)
        result = FAILED if load is None else load.wait(timeout)
        if result is FAILED and running is not None:
            self._end(key, running)
        return result

    def _begin(self, key: K) -> Load | None:
        """A load of this thread's, unless the key is being loaded."""
        if key in self._running:
            return None
        load = Load(_core.Reservation(key))
        try:
            other = self._running.setdefault(key, load)
        except BaseException:
            cast(_core.Reservation, load.reservation).end()
            raise
        if other is load:
            return load
        cast(_core.Reservation, load.reservation).end()
        return None

    def _end(self, key: K, load: Load | _core.Reservation) -> None:
        self._running.compare_and_delete(key, load, equal=operator.is_)  # lint: ignore[CM501] or a newer one

    def get_many(
        self,
        cache: ConcurrentMap[K, V],
        keys: list[K],
        loader: Callable[[list[K]], Mapping[K, V]] | None,
        timeout: float | None,
    ) -> dict[K, V]:
        found = dict(zip(keys, cache.get_many(keys, FAILED), strict=True))
        missing = [key for key in keys if found[key] is FAILED]
        if loader is None:
            return cast("dict[K, V]", found | {key: self.get(cache, key, None, timeout) for key in missing})
        mine = {key: load for key in missing if (load := self._begin(key)) is not None}
        found |= self._lead_many(cache, mine, loader) if mine else {}
        for key in missing:
            if key not in mine:
                found[key] = self.get(cache, key, lambda key: loader([key]).get(key, REMOVE), timeout)  # type: ignore[arg-type, return-value]
        return cast("dict[K, V]", {key: value for key, value in found.items() if value is not FAILED})

    def _lead_many(
        self, cache: ConcurrentMap[K, V], mine: dict[K, Load], loader: Callable[[list[K]], Mapping[K, V]]
    ) -> dict[K, Any]:
        try:
            values = self._timed(loader, list(mine))
            for key, load in mine.items():
                if key in values and load.decide():
                    cache[key] = values[key]
        except BaseException as error:
            for load in mine.values():
                load.fail(error)
            raise
        else:
            for key, load in mine.items():
                load.succeed(values.get(key))
            return {key: values[key] for key in mine if key in values}
        finally:
            for key, load in mine.items():
                self._end(key, load)
                cast(_core.Reservation, load.reservation).end()

    # Loading again

    def refresh(self, cache: ConcurrentMap[K, V], key: K, loader: Callable[[K], V] | None, old: Any) -> None:
        """Load a key again in another thread. If it has not got another value meanwhile, it gets that one."""
        loader = self._checked(loader)
        run_in_background(functools.partial(self._refresh, cache, key, loader, old))

    def _refresh(self, cache: ConcurrentMap[K, V], key: K, loader: Callable[[K], V], old: Any) -> None:
        load = self._begin(key)
        if load is None:
            return
        load.refreshes = True
        try:
            value = self._timed(loader, key)
            if load.decide():
                replace_value(cache, key, old, value)
        except BaseException as error:  # counted; the old value stays
            load.fail(error)
        else:
            load.succeed(None if value is REMOVE else value)
        finally:
            self._end(key, load)
            cast(_core.Reservation, load.reservation).end()

    def refresh_async(self, cache: ConcurrentMap[K, V], key: K, loader: Callable[[K], Any], old: Any) -> None:
        """The same in a task."""
        load = Load()
        load.refreshes = True
        load.waiting = 1  # itself: the cancellation of others does not end it
        if self._running.setdefault(key, load) is load:
            load.loop = asyncio.get_running_loop()
            load.task = load.loop.create_task(self._run(cache, load, key, loader, old))

    # Tasks

    async def get_async(self, cache: ConcurrentMap[K, V], key: K, loader: Callable[[K], Any]) -> V:
        """The value, loaded by a task of this loop or of another, or by a thread."""
        if not callable(loader):
            raise TypeError(f"load() wants async loader(key) -> value, got {type(loader).__name__}")
        self._raise_again(key)
        while True:
            fresh = Load()
            running = self._running.setdefault(key, fresh)
            load = load_of(running)
            joined = load is not None and load.join()
            if load is fresh:
                value = cache.get(key, FAILED)  # loaded and gone since the miss
                if value is not FAILED:
                    fresh.succeed(value)
                    self._end(key, fresh)
                    return cast(V, value)
                fresh.loop = asyncio.get_running_loop()
                fresh.task = fresh.loop.create_task(self._run(cache, fresh, key, loader))
            if load is not None and joined:
                value = await self._join(load)
                if value is not FAILED:
                    return cast(V, value)
            self._end(key, running)

    async def _join(self, load: Load) -> Any:
        """The result; FAILED if the load was cancelled, and this task was not."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # this loop has been closed: no task waits
                loop.call_soon_threadsafe(done.set)

        load.future.add_done_callback(wake)
        try:
            await done.wait()
        except asyncio.CancelledError:
            load.leave()
            raise
        return FAILED if load.future.cancelled() else load.future.result()

    async def _run(
        self, cache: ConcurrentMap[K, V], load: Load, key: K, loader: Callable[[K], Any], old: Any = FAILED
    ) -> None:
        begun = time.perf_counter()
        try:
            value = await loader(key)
            self._count(begun, failed=False)
            if load.decide():
                if old is not FAILED:
                    replace_value(cache, key, old, value)
                elif value is not REMOVE:
                    cache.setdefault(key, value)  # lint: ignore[CM501] who waits gets what was loaded
            self._end(key, load)
            load.succeed(None if value is REMOVE else value)
        except asyncio.CancelledError:
            self._end(key, load)
            load.future.cancel()
            raise
        except BaseException as error:
            self._count(begun, failed=True)
            if not load.refreshes:
                self._keep_error(key, error)
            self._end(key, load)
            load.fail(error)
            if not isinstance(error, Exception):
                raise

    # Both

    def invalidate(self, cache: ConcurrentMap[K, V], key: K) -> bool:
        if self._errors is not None:
            self._errors.pop(key, None)
        load = self._running.get(key)
        if load is not None and load.discard() and reserves(load):
            return False  # the key is absent, and reserved until the load is over
        return cache.pop(key, FAILED) is not FAILED

    def _checked(self, loader: Callable[[K], V] | None) -> Callable[[K], V]:
        loader = loader or self.loader
        if loader is None:
            raise TypeError("get_or_load() wants a loader(key) -> value, as the cache was made without one")
        if not callable(loader):
            raise TypeError(f"get_or_load() wants a loader(key) -> value, got {type(loader).__name__}")
        if _core.is_async(loader):
            raise TypeError(
                f"get_or_load() wants a plain loader, got {loader!r}; await cache.load(key, loader) instead"
            )
        return loader

    def _called(self, loader: Callable[[K], V], key: K) -> V:
        try:
            return loader(key)
        except Exception as error:
            self._keep_error(key, error)
            raise

    def _keep_error(self, key: K, error: BaseException) -> None:
        if self._errors is not None and isinstance(error, Exception) and not isinstance(error, DeadlockError):
            self._errors[key] = error

    def _raise_again(self, key: K) -> None:
        error = None if self._errors is None else self._errors.get(key)
        if error is not None:
            raise error.with_traceback(None)  # else it would grow with each call

    def clear(self) -> None:
        """Forget errors."""
        if self._errors is not None:
            self._errors.clear()

    def _timed(self, loader: Callable[[Any], Any], given: Any) -> Any:
        begun = time.perf_counter()
        try:
            value = loader(given)
        except BaseException:
            self._count(begun, failed=True)
            raise
        self._count(begun, failed=False)
        return value

    def _count(self, begun: float, *, failed: bool) -> None:
        self.native.count(time.perf_counter() - begun, failed)
