"""@cached: results of a function, kept in a Cache. Each missing result is computed once, however many threads ask."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, overload

from threadproof.maps.cache import Cache

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


class CachedFunction(Generic[P, R]):
    """What `cached` makes of a function: called like it, with `cache` and the methods of lru_cache."""

    __wrapped__: Callable[P, R]

    def __init__(
        self, fn: Callable[P, R], cache: Cache[Any, Any], key: Callable[P, Hashable] | None
    ) -> None:
        functools.update_wrapper(self, fn)
        self.cache = cache
        self._key: Callable[..., Any] = key or key_of

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        fn = self.__wrapped__
        return self.cache.get_or_load(self._key(*args, **kwargs), lambda _: fn(*args, **kwargs))  # type: ignore[no-any-return]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; return whether there was one. See Cache.invalidate."""
        return self.cache.invalidate(self._key(*args, **kwargs))

    def cache_info(self) -> CacheInfo:
        stats = self.cache.stats()
        return CacheInfo(stats.hits, stats.misses, self.cache.max_size, stats.size)

    def cache_clear(self) -> None:
        """Forget all results. (The counts of hits and misses go on.)"""
        self.cache.clear()

    def cache_parameters(self) -> dict[str, Any]:
        return {"maxsize": self.cache.max_size, "typed": False}


class CachedCoroutineFunction(CachedFunction[P, R]):
    """The same for an `async def`: awaiting a call gives the result of one run."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        fn = self.__wrapped__
        return self.cache.load(self._key(*args, **kwargs), lambda _: fn(*args, **kwargs))  # type: ignore[return-value]


@overload
def cached(fn: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *, max_size: int | None = 128, key: Callable[..., Hashable] | None = None, cache: Cache[Any, Any] | None = None
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
def cached(
    fn: Any = None,
    /,
    *,
    max_size: int | None = 128,
    key: Callable[..., Hashable] | None = None,
    cache: Cache[Any, Any] | None = None,
) -> Any:
    """Keep a function's results, as functools.lru_cache does; threads that ask for one result compute it once.

        @cached(max_size=1000)
        def load(user, *, fields=()): ...

    `max_size`: the most results, None for no bound; `cache`: a Cache to use instead of a new one. Without
    `key`, the arguments are the key, as in lru_cache with typed=False; else `key(*args, **kwargs)` is. In a
    class, one cache is for all instances, and keeps the instances that are in it alive. What the function
    raises is raised in all threads that wait for it, and is not kept. Of an `async def` the results are kept,
    not the coroutines. A generator function is refused: its result can be iterated only once.

    `f.cache`, `f.invalidate(*args)`, `f.cache_info()`, `f.cache_clear()`, `f.cache_parameters()`,
    `f.__wrapped__` are there as well. A function that calls itself for the same arguments raises DeadlockError.
    """
    if fn is None:
        return functools.partial(cached, max_size=max_size, key=key, cache=cache)
    if not callable(fn):
        raise TypeError(f"cached() wants a function, or max_size=..., got {fn!r}; write @cached(max_size={fn!r})")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"cached() cannot keep what {fn!r} yields: the generator is used up; return a tuple")
    kind = CachedCoroutineFunction if inspect.iscoroutinefunction(fn) else CachedFunction
    return kind(fn, Cache(max_size=max_size) if cache is None else cache, key)


def key_of(*args: Any, **kwargs: Any) -> Any:
    """The arguments as a key; keyword arguments count in their order, as in functools.lru_cache."""
    if kwargs:
        return (*args, KEYWORDS, *kwargs.items())
    if len(args) == 1 and type(args[0]) in FAST:
        return args[0]
    return args
