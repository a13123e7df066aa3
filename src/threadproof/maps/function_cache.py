"""@cached: the results of a function, kept in a Cache. Of the threads that ask for one, one computes it."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Hashable
from itertools import chain
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from threadproof import _core
from threadproof.maps.cache import Cache
from threadproof.maps.hash_map import HashMap

__all__ = ["CacheInfo", "CachedFunction", "cached"]

P = ParamSpec("P")
R = TypeVar("R")

KEYWORDS = object()  # stands in a key between positional arguments and keyword arguments
FAST = (int, str)  # exact types whose single argument is the key itself, as functools.lru_cache has it
OPTIONS: Final = {  # of Cache that make sense for results
    "cache_errors",
    "clock",
    "expire_after_access",
    "expire_after_write",
    "jitter",
    "on_evict",
    "refresh_after",
}


class CacheInfo(NamedTuple):
    """What functools.lru_cache's cache_info() has."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class CachedFunction(Protocol[P, R]):
    """What `cached` makes of a function: a function, with the attributes of lru_cache's, and two more."""

    __name__: str
    __wrapped__: Callable[P, R]
    cache: Cache[Any, Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> CachedFunction[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Callable[..., R]: ...
    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; return whether there was one. See Cache.invalidate."""
        ...

    def cache_info(self) -> CacheInfo: ...
    def cache_clear(self) -> None:
        """Forget all results; cache_info() counts from 0 on."""

    def cache_parameters(self) -> dict[str, Any]: ...


def key_for(key: Callable[..., Any] | None, typed: bool) -> Callable[..., Any]:
    """The function that makes a key of the arguments, as the native part does."""
    return key or (typed_key_of if typed else key_of)


def key_of(*args: Any, **kwargs: Any) -> Any:
    """The arguments as a key; keyword arguments count in their order, as in functools.lru_cache."""
    if kwargs:
        return (*args, KEYWORDS, *chain.from_iterable(kwargs.items()))
    if len(args) == 1 and type(args[0]) in FAST:
        return args[0]
    return args


def typed_key_of(*args: Any, **kwargs: Any) -> Any:
    named = (KEYWORDS, *chain.from_iterable(kwargs.items())) if kwargs else ()
    return (*args, *named, *map(type, args), *map(type, kwargs.values()))


def wrapper_of(fn: Any, cache: Cache[Any, Any], key: Callable[..., Any] | None, typed: bool) -> Any:
    if not inspect.iscoroutinefunction(fn):

        def miss(found: Any, args: Any, kwargs: Any) -> Any:
            return cache.get_or_load(found, lambda _: fn(*args, **kwargs))

        # a hit of a cache that loads old values again is more than a read
        peeks = cache._options.refresh_after is None and type(cache).get is Cache.get
        plain = peeks and cache._loads.plain and type(cache).get_or_load is Cache.get_or_load
        loads = cache._loads.native if plain else None
        return _core.CachedFunction(cache, miss, key, KEYWORDS, typed, peeks, loads, fn)
    find = key_for(key, typed)

    async def cached_coroutine_function(*args: Any, **kwargs: Any) -> Any:
        return await cache.load(find(*args, **kwargs), lambda _: fn(*args, **kwargs))

    return cached_coroutine_function


def decorated(fn: Any, cache: Cache[Any, Any], key: Callable[..., Any] | None, typed: bool) -> Any:
    wrapper: Any = functools.update_wrapper(wrapper_of(fn, cache, key, typed), fn)
    find = key_for(key, typed)
    before = (0, 0)  # hits and misses when the cache was cleared

    def counts() -> tuple[int, int]:
        stats = cache.stats()
        return stats.hits, stats.loads + stats.load_failures

    def info() -> CacheInfo:
        (hits, misses), size = counts(), len(cache)
        return CacheInfo(hits - before[0], misses - before[1], cache.max_size, size)

    def clear() -> None:
        nonlocal before
        cache.clear()
        before = counts()

    wrapper.cache = cache
    wrapper.invalidate = lambda *args, **kwargs: cache.invalidate(find(*args, **kwargs))
    wrapper.cache_info = lambda: info()  # with the signature of lru_cache's
    wrapper.cache_clear = lambda: clear()
    wrapper.cache_parameters = lambda: {"maxsize": cache.max_size, "typed": typed}
    return wrapper


class PerInstance:
    """A method with a cache for each instance, which goes with the instance.

    The caches are found by the identity of the instance. They hold results and no instance, so that there is
    no cycle.
    """

    def __init__(self, fn: Any, make: Callable[[], Cache[Any, Any]], key: Any, typed: bool) -> None:
        functools.update_wrapper(self, fn)
        self.__wrapped__ = fn
        self._make, self._key, self._typed = make, key, typed
        self._caches: HashMap[int, tuple[weakref.ref[Any], Cache[Any, Any]]] = HashMap()

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        if instance is None:
            return self
        return decorated(
            self.__wrapped__.__get__(instance, owner), self.cache_of(instance), self._key, self._typed
        )

    def __call__(self, instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.__get__(instance)(*args, **kwargs)

    def cache_of(self, instance: Any) -> Cache[Any, Any]:
        number = id(instance)
        found = self._caches.get(number)
        if found is None:
            found = self._caches.compute_if_absent(number, lambda _: self._entry_for(instance, number))
        return found[1]

    def _entry_for(self, instance: Any, number: int) -> tuple[weakref.ref[Any], Cache[Any, Any]]:
        caches = self._caches
        try:
            return weakref.ref(instance, lambda _: caches.pop(number, None)), self._make()
        except TypeError:
            raise TypeError(
                f"@cached(per_instance=True) wants instances that can have weak references; "
                f"add '__weakref__' to the __slots__ of {type(instance).__name__}"
            ) from None


@overload
def cached(fn: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    max_size: int | None = 128,
    typed: bool = False,
    key: Callable[..., Hashable] | None = None,
    cache: Cache[Any, Any] | None = None,
    per_instance: bool = False,
    expire_after_write: float | None = None,
    expire_after_access: float | None = None,
    jitter: float = 0.0,
    refresh_after: float | None = None,
    cache_errors: float | None = None,
    on_evict: Callable[[Any, Any, str], object] | None = None,
    clock: Callable[[], float] | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
def cached(
    fn: Any = None,
    /,
    *,
    max_size: int | None = 128,
    typed: bool = False,
    key: Callable[..., Hashable] | None = None,
    cache: Cache[Any, Any] | None = None,
    per_instance: bool = False,
    **options: Any,
) -> Any:
    """Keep a function's results, as functools.lru_cache does; threads that ask for one compute it once.

        @cached(max_size=1000, expire_after_write=60)
        def load(user, *, fields=()): ...

    `max_size`: the most results, None for no bound. More options are those of `Cache`: `expire_after_write`,
    `expire_after_access`, `jitter`, `refresh_after`, `cache_errors`, `on_evict`, `clock`. Or `cache`: a Cache
    to use instead of a new one. Without `key`, the arguments are the key, as in lru_cache, with `typed` too;
    else `key(*args, **kwargs)` is.

    In a class, one cache is for all instances, and keeps the instances that are in it alive. With
    `per_instance` each has a cache of its own, which goes with it; then `key` gets the arguments without the
    instance.

    What the function raises is raised in all threads that wait for it, and is not kept, unless `cache_errors`
    says for how long. Of an `async def` the results are kept, not the coroutines. A generator function is
    refused: its result can be iterated only once.

    `f.cache`, `f.invalidate(*args)`, `f.cache_info()`, `f.cache_clear()`, `f.cache_parameters()`,
    `f.__wrapped__` are there, too. A function that calls itself for the same arguments raises DeadlockError.
    """
    make = maker_of(max_size, cache, per_instance, options)
    if fn is None:
        return lambda fn: decorate(fn, make, key, typed, per_instance)
    return decorate(fn, make, key, typed, per_instance)


def maker_of(
    max_size: int | None, cache: Cache[Any, Any] | None, per_instance: bool, options: dict[str, Any]
) -> Callable[[], Cache[Any, Any]]:
    """What makes the cache; wrong options raise now, not with the first call."""
    unknown = options.keys() - OPTIONS
    if unknown:
        raise TypeError(f"cached() has no option {min(unknown)!r}; it has {', '.join(sorted(OPTIONS))}")
    if cache is not None and (per_instance or options):
        raise TypeError(
            f"cached() wants cache=, or {'per_instance=' if per_instance else min(options) + '='}, got both"
        )
    first = Cache[Any, Any](max_size=max_size, **options) if cache is None else cache
    return (lambda: Cache(max_size=max_size, **options)) if per_instance else lambda: first


def decorate(fn: Any, make: Any, key: Any, typed: bool, per_instance: bool) -> Any:
    if not callable(fn):
        raise TypeError(
            f"cached() wants a function, or max_size=..., got {fn!r}; write @cached(max_size={fn!r})"
        )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"cached() cannot keep what {fn!r} yields: the generator is used up; return a tuple")
    return PerInstance(fn, make, key, typed) if per_instance else decorated(fn, make(), key, typed)
