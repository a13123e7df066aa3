"""@cached: the results of a function, kept in a Cache. Of the threads that ask for one, one computes it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from threadproof.maps.cache import Cache
from threadproof.missing import MISSING

__all__ = ["CacheInfo", "CachedFunction", "cached"]

P = ParamSpec("P")
R = TypeVar("R")

KEYWORDS = object()  # stands in a key between positional arguments and keyword arguments
FAST = (int, str)  # exact types whose single argument is the key itself, as functools.lru_cache has it


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
        """Forget all results; the counts of hits and misses go on."""

    def cache_parameters(self) -> dict[str, Any]: ...


def wrapper_of(fn: Any, cache: Cache[Any, Any], key: Callable[..., Any]) -> Any:
    get, get_or_load = cache.get, cache.get_or_load
    fast = FAST if key is key_of else ()

    def cached_function(*args: Any, **kwargs: Any) -> Any:
        # the argument itself: key_of() without a call
        alone = not kwargs and len(args) == 1 and type(args[0]) in fast
        found = args[0] if alone else key(*args, **kwargs)
        value = get(found, MISSING)
        return get_or_load(found, lambda _: fn(*args, **kwargs)) if value is MISSING else value

    async def cached_coroutine_function(*args: Any, **kwargs: Any) -> Any:
        return await cache.load(key(*args, **kwargs), lambda _: fn(*args, **kwargs))

    return cached_coroutine_function if inspect.iscoroutinefunction(fn) else cached_function


def decorated(fn: Any, cache: Cache[Any, Any], key: Callable[..., Any]) -> Any:
    wrapper: Any = functools.update_wrapper(wrapper_of(fn, cache, key), fn)

    def info() -> CacheInfo:
        stats = cache.stats()
        return CacheInfo(stats.hits, stats.loads + stats.load_failures, cache.max_size, stats.size)

    wrapper.cache = cache
    wrapper.invalidate = lambda *args, **kwargs: cache.invalidate(key(*args, **kwargs))
    wrapper.cache_info = info
    wrapper.cache_clear = cache.clear
    wrapper.cache_parameters = lambda: {"maxsize": cache.max_size, "typed": False}
    return wrapper


@overload
def cached(fn: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    max_size: int | None = 128,
    key: Callable[..., Hashable] | None = None,
    cache: Cache[Any, Any] | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
def cached(
    fn: Any = None,
    /,
    *,
    max_size: int | None = 128,
    key: Callable[..., Hashable] | None = None,
    cache: Cache[Any, Any] | None = None,
) -> Any:
    """Keep a function's results, as functools.lru_cache does; threads that ask for one compute it once.

        @cached(max_size=1000)
        def load(user, *, fields=()): ...

    `max_size`: the most results, None for no bound; `cache`: a Cache to use instead of a new one. Without
    `key`, the arguments are the key, as in lru_cache with typed=False; else `key(*args, **kwargs)` is. In a
    class, one cache is for all instances, and keeps the instances that are in it alive. What the function
    raises is raised in all threads that wait for it, and is not kept. Of an `async def` the results are kept,
    not the coroutines. A generator function is refused: its result can be iterated only once.

    `f.cache`, `f.invalidate(*args)`, `f.cache_info()`, `f.cache_clear()`, `f.cache_parameters()`,
    `f.__wrapped__` are there, too. A function that calls itself for the same arguments raises DeadlockError.
    """
    if fn is None:
        return functools.partial(cached, max_size=max_size, key=key, cache=cache)
    if not callable(fn):
        raise TypeError(
            f"cached() wants a function, or max_size=..., got {fn!r}; write @cached(max_size={fn!r})"
        )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"cached() cannot keep what {fn!r} yields: the generator is used up; return a tuple")
    return decorated(fn, Cache(max_size=max_size) if cache is None else cache, key or key_of)


def key_of(*args: Any, **kwargs: Any) -> Any:
    """The arguments as a key; keyword arguments count in their order, as in functools.lru_cache."""
    if kwargs:
        return (*args, KEYWORDS, *kwargs.items())
    if len(args) == 1 and type(args[0]) in FAST:
        return args[0]
    return args
