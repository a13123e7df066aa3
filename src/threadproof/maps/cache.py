"""Cache: a HashMap with a bound. It keeps the entries that are used, and loads each missing value once."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar, cast

from threadproof import _core
from threadproof.maps.cache_files import Encoding, read_entries, write_entries
from threadproof.maps.cache_loads import Loads
from threadproof.maps.cache_options import FOREVER, Options, check_count, check_size, seconds
from threadproof.maps.cache_threads import expire_in_background
from threadproof.maps.contract import COMPUTING, OLDEST, ConcurrentMap, age_of
from threadproof.maps.native import NativeMap
from threadproof.stats import Stats, counter, duration, gauge, ratio

__all__ = ["Cache", "CacheStats", "PolicyView"]

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)

ERRORS = 10_000  # errors that a cache without a max_size keeps, each with a traceback


@dataclass(frozen=True, slots=True)
class CacheStats(Stats):
    """The state of a Cache: its hits, its policy, its table, its loads."""

    size: int = field(metadata=gauge("keys", "keys in the cache"))
    weight: int = field(metadata=gauge("entries", "entries that count for the bound"))
    hits: int = field(metadata=counter("reads", "reads that found a value; many threads lose some"))
    misses: int = field(metadata=counter("reads", "reads that found none; many threads lose some"))
    evictions: int = field(metadata=counter("entries", "entries that were evicted for the bound"))
    expirations: int = field(
        metadata=counter("entries", "entries that were removed because they had expired")
    )
    lost_events: int = field(
        metadata=counter("calls", "calls of on_evict that did not happen for want of memory")
    )
    window: float = field(metadata=ratio("the share of the bound for new entries, which the policy adapts"))
    sketch_resets: int = field(metadata=counter("resets", "times that all frequencies were halved"))
    half_hit_ratio: float = field(
        metadata=ratio("about the hit ratio with half of the bound; -1: not known yet")
    )
    double_hit_ratio: float = field(
        metadata=ratio("about the hit ratio with twice the bound; -1: not known yet")
    )
    buckets: int = field(metadata=gauge("buckets", "buckets of four entries, chosen by the hash"))
    overflow_buckets: int = field(metadata=gauge("buckets", "buckets behind full ones"))
    longest_chain: int = field(metadata=gauge("buckets", "a bucket and those behind it, of 1,024"))
    resizes: int = field(metadata=counter("resizes", "resizes of the table since the cache was made"))
    resizing: bool = field(metadata=gauge("boolean", "whether a resize is under way"))
    bytes: int = field(metadata=gauge("bytes", "memory of table and policy, without keys and values"))
    lock_waits: int = field(metadata=counter("waits", "times that a writer found its bucket locked"))
    loads: int = field(default=0, metadata=counter("loads", "calls of loaders that returned a value"))
    load_failures: int = field(default=0, metadata=counter("loads", "calls of loaders that raised"))
    load_seconds: float = field(default=0.0, metadata=duration("all calls of loaders together"))
    listener_failures: int = field(default=0, metadata=counter("calls", "calls of on_evict that raised"))
    computing: int = field(default=0, metadata=COMPUTING)
    oldest_computation: float = field(default=0.0, metadata=OLDEST)

    @property
    def hit_ratio(self) -> float:
        """The share of reads that found a value; 0.0 before the first."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0


@dataclass(frozen=True, slots=True)
class PolicyView(Generic[K]):
    """Keys of a Cache in the order of its policy, as `Cache.policy` returns them."""

    hottest: list[K]  # the last that would be evicted, the very last first
    coldest: list[K]  # those that would be evicted next, the next first
    oldest: list[K]  # those that expire first, the first one first; empty in a cache without times


class Cache(_core.Cache[K, V], NativeMap[K, V]):
    """A concurrent map with a bound: the entries that are least worth keeping are evicted.

        cache = Cache(max_size=10_000, loader=fetch)
        cache.get_or_load("a")  # the value; on a miss, fetch("a"), called by one thread while others wait

    It keeps the contract of `ConcurrentMap`, whose methods explain it, with one change: an entry may be
    evicted at any moment after it was stored, as if another thread had deleted it. An entry whose value is
    being computed is not evicted. Iteration may miss evicted keys, as it may miss deleted ones.

    `max_size` is the most entries; None, the default, is no bound. When no call is under way there are never
    more: what is above the bound is gone when the call that stored it returns, and that may be the new entry
    itself. While calls are running there may be 128 entries more, and one for each thread. 0 keeps nothing.

    Which entries stay: those that are used often, as counted in a sketch of all recent keys, and those that
    are new, in a window. The window is as wide as fits the workload (adaptive W-TinyLFU): small shadow caches
    try several widths on a sample of the keys. A store counts as a use; `in` and iteration do not.

    `max_weight`, with `weigher(key, value)`, bounds the sum of weights instead, whole numbers from 0. The
    weigher is called once for each value that is stored, before that, with no lock held; if it raises,
    nothing is stored. An entry of weight 0 is never evicted. One that is heavier than the bound is evicted at
    once.

    `expire_after_write` and `expire_after_access` are seconds for which an entry lives: from the storing of
    its value, or from its last read or write; with both, until the first is over. `expires(key, value, now)`
    returns the time at which a value expires, by the same clock as `now`, or None for never. `jitter=0.1`
    makes each lifetime shorter by up to a tenth, so that entries that were stored together do not expire
    together. What has expired is absent: no call that begins later returns it, or counts it. Its memory is
    given back with the next changes, and a second later by a thread that all caches share. `clock` replaces
    `time.monotonic`; then only calls give memory back (see `expire`). A clock that goes back stands still
    meanwhile, as does one that raises.

    `loader(key)` makes missing values: see `get_or_load`. With `refresh_after` seconds, a hit of
    `get_or_load` or `load` on an older value returns it, and has it loaded again in the background, once; if
    that fails, the value stays, and the next attempt comes `refresh_after` seconds later. With `cache_errors`
    seconds, what a loader raises is raised again for so long, without another call.

    `on_evict(key, value, cause)` is called for every value that leaves the cache, once, after that, with no
    lock held, by the thread whose call has removed it; it may use the cache. The cause is "size", "expired",
    "replaced", "removed" (also for what `pop` or `drain` return), "cleared", or "collected", when the garbage
    collector takes the cache. A value that is replaced by itself has not left. What `on_evict` raises is
    counted and logged once. For values to be closed: `on_evict=lambda key, value, cause: value.close()`.

    With `stats=False` reads are not counted, and the hit ratios of other bounds not estimated, which takes
    two of the seven shadow caches: in `stats()` hits and misses are 0 then, and these ratios -1.

    Reads take no lock. A copy, and an unpickled cache, have the options too, and all lifetimes begin anew; a
    loader must be picklable then.
    """

    __slots__ = ("__weakref__", "_failures", "_loads", "_options")
    _failures: int
    _loads: Loads[K, V]
    _options: Options

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._options = Options()
        self._failures = 0
        self._loads = Loads(None)
        return self

    def __init__(
        self,
        entries: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        max_size: int | None = None,
        max_weight: int | None = None,
        weigher: Callable[[K, V], int] | None = None,
        expire_after_write: float | None = None,
        expire_after_access: float | None = None,
        expires: Callable[[K, V, float], float | None] | None = None,
        jitter: float = 0.0,
        refresh_after: float | None = None,
        loader: Callable[[K], V] | None = None,
        cache_errors: float | None = None,
        on_evict: Callable[[K, V, str], object] | None = None,
        stats: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Start with the entries of a mapping, or of pairs, in their order."""
        self._configure(
            Options(
                max_size,
                max_weight,
                weigher,
                expire_after_write,
                expire_after_access,
                expires,
                jitter,
                refresh_after,
                loader,
                cache_errors,
                on_evict,
                stats,
                clock,
            )
        )
        self.update(entries)

    def _configure(self, options: Options) -> None:
        options.check(type(self).__name__)
        self._options = options
        self._loads = Loads(options.loader, self._errors_for(options))
        if options.on_evict is not None:
            self._send_departures()
        if not options.stats:
            self._count_nothing()
        if options.describes:
            self._weigh_values()
        if options.expiry is not None:
            self._set_expiry(*options.expiry)
            if options.clock is None:
                expire_in_background(self)
        self._set_max(options.max_size if options.weigher is None else options.max_weight)

    def _errors_for(self, options: Options) -> Cache[K, Exception] | None:
        if options.cache_errors is None:
            return None
        return Cache(
            max_size=ERRORS if options.max_size is None else options.max_size,
            expire_after_write=options.cache_errors,
            clock=options.clock,
        )

    def __del__(self) -> None:
        options = getattr(self, "_options", None)  # there was no memory for one
        if options is not None and options.on_evict is not None:
            self._stop_sending()
            send_collected(type(self), options.on_evict, list(self._entries()))

    # Loading

    def get_or_load(
        self, key: K, loader: Callable[[K], V] | None = None, /, *, timeout: float | None = None
    ) -> V:
        """The value of `key`; if there is none, `loader(key)`, which is stored and returned.

        Without `loader`, the cache's. Of all threads and tasks that miss a key at the same time one loads it;
        the others wait for its result, at most `timeout` seconds: after that TimeoutError, and the load
        continues. What the loader raises is raised in all of them, and is not stored: the next call loads
        again. It runs with no lock held and `key` reserved, as a function given to `compute`: it may use the
        cache, but not load or write its own key, nor wait in a circle with other loads: DeadlockError.

        A hit is a read, and never blocks. If `invalidate(key)` is called during the load, the waiting calls
        return the loaded value, and it is not stored. A loader that returns REMOVE stores nothing, and None
        is returned.
        """
        value = self.get(key, _core.REMOVE)
        if value is _core.REMOVE:
            return self._loads.get(self, key, loader, timeout)
        if self._options.refresh_after is not None and self._claim_refresh(key):
            self._loads.refresh(self, key, loader, value)
        return cast(V, value)

    def load_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Mapping[K, V]] | None = None,
        /,
        *,
        timeout: float | None = None,
    ) -> dict[K, V]:
        """The values of the keys, as a dict; missing ones are loaded.

        `loader(missing)` gets a list of the keys that this call has to load, and returns a mapping with their
        values; a key that is not in it is in no result. Keys that others are loading are waited for, at most
        `timeout` seconds each. Without `loader`, the cache's is called for one key after the other.
        """
        return self._loads.get_many(self, list(dict.fromkeys(keys)), loader, timeout)

    async def load(self, key: K, loader: Callable[[K], Any], /) -> V:
        """`get_or_load` for asyncio: the value of `key`; if there is none, `await loader(key)`.

        One load for all tasks of all event loops, and for threads in `get_or_load`. If a task that waits is
        cancelled, the others go on; if the last is cancelled, so is the load. If the event loop of the load
        ends, another of the waiting tasks loads. While an async load is running, other writers of `key` do
        not wait for it; if one stores a value, that value stays.
        """
        value = self.get(key, _core.REMOVE)
        if value is _core.REMOVE:
            return await self._loads.get_async(self, key, loader)
        if self._options.refresh_after is not None and self._claim_refresh(key):
            self._loads.refresh_async(self, key, loader, value)
        return cast(V, value)

    def invalidate(self, key: K, /) -> bool:
        """Remove `key`; return whether it was there. A load that is running for it will not be stored.

        Never waits for a load. (`del` and `pop` wait for it, and then remove its result.)
        """
        return self._loads.invalidate(self, key)

    # The bound

    @property
    def max_size(self) -> int | None:
        """The most entries, or None."""
        return self._options.max_size

    @property
    def max_weight(self) -> int | None:
        """The most weight, or None."""
        return self._options.max_weight

    def resize(self, bound: int | None, /) -> None:
        """Set another `max_size`, or `max_weight`. The entries above it are evicted before this returns."""
        name = "max_size" if self._options.weigher is None else "max_weight"
        check_size(type(self).__name__, name, bound)
        self._set_max(bound)
        options: dict[str, Any] = {name: bound}
        self._options = replace(self._options, **options)

    def policy(self, count: int = 10) -> PolicyView[K]:
        """The hottest, the coldest and the oldest keys, at most `count` of each.

        Hottest and coldest are the two ends of the order in which the policy would evict: on probation, in
        the window of new keys, protected, pinned, and in each by the last use. The three orders are those of
        one instant. They are as exact as the policy: reads that are still in another thread's buffer, and
        new entries whose stores have not returned, are not in them; a key that has gone since is missing.
        The policy's lock is held for `count` entries, or for all entries in a cache with times.
        """
        check_count(type(self).__name__, count)
        hottest, coldest, oldest = self._ranks(count, count, count)
        return PolicyView(
            [key for key, _ in hottest], [key for key, _ in coldest], [key for key, _ in oldest]
        )

    def save(self, file: str | os.PathLike[str], /, *, encoding: Encoding = "pickle") -> int:
        """Write keys and values to a file, in the policy's order; return their number.

        The file is replaced in one step: readers, and a crash, find the old one or the new one. If this
        raises, the old one is there. The order is that of one instant; an entry that goes meanwhile is not in
        the file. Options, frequencies and times are not saved: the lifetimes of restored entries begin anew.

        A pickle has all that pickle takes. JSON has None, bools, numbers, strs, and lists and dicts of these,
        with strs for the keys of dicts; what it would change, tuples for example, is refused.
        """
        entries = self._ranks(0, 2**62, 0)[1]
        write_entries(file, encoding, entries)
        return len(entries)

    def restore(self, file: str | os.PathLike[str], /, *, encoding: Encoding = "pickle") -> int:
        """Store the entries of a file that `save` wrote, in its order; return how many of them.

        The cache has what it had before, too, within its bound; of a file with more than `max_size` entries
        those that would be evicted first are left out. A damaged file, one of another version, and one of
        another encoding, are refused with ValueError before anything is stored or unpickled. A pickle runs
        code: restore only files that you trust, or use JSON.
        """
        entries = read_entries(file, encoding)
        bound = self._options.max_size
        if bound is not None:
            entries = entries[max(0, len(entries) - bound) :]
        self.update(entries)
        return len(entries)

    def expire(self) -> None:
        """Remove what has expired now, instead of with the next changes."""
        self._expire()

    def _describe(self, key: K, value: V) -> tuple[int, float]:
        """The weight of a value, and the time at which it expires, which may be infinite."""
        weigher, expires = self._options.weigher, self._options.expires
        return (
            1 if weigher is None else checked_weight(weigher(key, value), key),
            math.inf if expires is None else checked_time(expires(key, value, self._read_clock()), key),
        )

    def _read_clock(self) -> float:
        clock = self._options.clock
        return time.monotonic() if clock is None else seconds(type(self).__name__, clock())

    def _now(self) -> int:
        """The clock's time in ns, for the native part."""
        return int(self._read_clock() * 1e9)

    def _departed(self, key: K, value: V, cause: str) -> None:
        on_evict = self._options.on_evict
        if on_evict is None:
            return
        try:
            on_evict(key, value, cause)
        except Exception:
            self._failures += 1
            if self._failures == 1:
                log_failure(type(self))

    # The whole map

    def stats(self) -> CacheStats:
        """Metrics. Reads at most 1,024 buckets of the table, and takes the policy's lock for an instant."""
        return CacheStats(*self._stats(), *self._loads.metrics(), self._failures, *age_of(self))

    def clear(self) -> None:
        super().clear()
        self._loads.clear()

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Any:
        """A new cache, without a bound, with `value` at each of the keys."""
        return super().fromkeys(keys, value)

    def __getstate__(self) -> Any:
        return self._options, super().__getstate__()

    def __setstate__(self, state: Any) -> None:
        options, attributes = state
        Cache._configure(self, options)
        for name, value in (attributes or {}).items():
            setattr(self, name, value)


_core.adopt_methods(Cache, ConcurrentMap)


def log_failure(cls: type) -> None:
    log.exception("on_evict of a %s raised; further ones are only counted", cls.__name__)


class Collected(threading.local):
    """The entries of caches that are being collected, and their listeners.

    A value may be the last reference to another cache, and so on: these are not collected by recursion.
    """

    waiting: list[tuple[type, Callable[[Any, Any, str], object], list[tuple[Any, Any]]]] | None = None


collected = Collected()


def send_collected(
    cls: type, on_evict: Callable[[Any, Any, str], object], entries: list[tuple[Any, Any]]
) -> None:
    if collected.waiting is not None:
        collected.waiting.append((cls, on_evict, entries))
        return
    waiting = collected.waiting = [(cls, on_evict, entries)]
    interrupt: BaseException | None = None
    try:
        while waiting:
            interrupt = send_all(*waiting.pop()) or interrupt
    finally:
        collected.waiting = None
    if interrupt is not None:
        raise interrupt


def send_all(
    cls: type, on_evict: Callable[[Any, Any, str], object], entries: list[tuple[Any, Any]]
) -> BaseException | None:
    """The interrupt that came meanwhile, if one has: the other entries are sent nevertheless."""
    logged = False
    interrupt: BaseException | None = None
    while entries:
        key, value = entries.pop()
        try:
            on_evict(key, value, "collected")
        except Exception:
            if not logged:
                log_failure(cls)
            logged = True
        except BaseException as error:
            interrupt = interrupt or error
    return interrupt


def checked_weight(weight: object, key: object) -> int:
    if isinstance(weight, bool) or not isinstance(weight, int):
        raise TypeError(f"the weigher wants to return a whole number, got {weight!r} for key {key!r}")
    if not 0 <= weight < 2**32 - 1:
        raise ValueError(
            f"a weight is from 0 to {2**32 - 2:,}, got {weight} for key {key!r}; use a larger unit"
        )
    return weight


def checked_time(when: object, key: object) -> float:
    if when is None:
        return math.inf
    if isinstance(when, bool) or not isinstance(when, int | float):
        raise TypeError(
            f"expires() wants to return a time in seconds, or None for never, got {when!r} for key {key!r}"
        )
    if math.isnan(when):
        raise ValueError(f"expires() wants to return a time in seconds, got {when} for key {key!r}")
    return when if when > -math.inf else -FOREVER
