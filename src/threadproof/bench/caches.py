"""Hit ratios of caches: a trace is replayed on each, a missing key is stored, and hits are counted.

A contender is a function of the bound that makes a function of a key, which says whether the key was a hit.
The policies here are as their papers have them, to compare with; they are neither fast nor safe for threads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from importlib import import_module
from typing import Any

Request = Callable[[int], bool]
MakeCache = Callable[[int], Request]


@dataclass(frozen=True)
class HitRatio:
    """The share of a trace's requests that were hits."""

    cache: str
    size: int
    ratio: float


def replay(make: MakeCache, requests: Sequence[int], size: int) -> float:
    """The share of hits."""
    return sum(map(make(size), requests)) / len(requests)


# The policies


def lru(size: int) -> Request:
    """Evicts the key that was used least recently."""
    order: OrderedDict[int, None] = OrderedDict()

    def request(key: int) -> bool:
        if key in order:
            order.move_to_end(key)
            return True
        order[key] = None
        if len(order) > size:
            order.popitem(last=False)
        return False

    return request


def s3_fifo(size: int) -> Request:
    """A small queue for new keys, a main queue, and the names of those that left the small one.

    Source: Yang, Zhang, Qiu, Yue and Vinayak, FIFO queues are all you need for cache eviction.
    """
    small_size = max(size // 10, 1)
    small: deque[int] = deque()
    main: deque[int] = deque()
    uses: dict[int, int] = {}
    ghosts: OrderedDict[int, None] = OrderedDict()

    def evict_main() -> None:
        while True:
            key = main.popleft()
            if not uses[key]:
                del uses[key]
                return
            uses[key] -= 1
            main.append(key)

    def evict_small() -> bool:
        """Whether a key has gone: one that was used twice goes to main."""
        key = small.popleft()
        if uses[key] > 1:
            uses[key] = 0
            main.append(key)
            return False
        del uses[key]
        ghosts[key] = None
        if len(ghosts) > size - small_size:
            ghosts.popitem(last=False)
        return True

    def make_room() -> None:
        while len(uses) >= size:
            if len(small) >= small_size or not main:
                if evict_small():
                    return
            else:
                evict_main()

    def request(key: int) -> bool:
        if key in uses:
            uses[key] = min(uses[key] + 1, 3)
            return True
        known = key in ghosts
        make_room()
        ghosts.pop(key, None)
        (main if known else small).append(key)
        uses[key] = 0
        return False

    return request


def arc(size: int) -> Request:
    """Two LRU lists, of keys used once and more often, whose sizes follow the keys that left them.

    Source: Megiddo and Modha, ARC: a self-tuning, low overhead replacement cache.
    """
    once, often, once_gone, often_gone = (OrderedDict[int, None]() for _ in range(4))
    target = 0.0

    def replace(key: int) -> None:
        if once and (len(once) > target or (key in often_gone and len(once) == int(target))):
            once_gone[once.popitem(last=False)[0]] = None
        else:
            often_gone[often.popitem(last=False)[0]] = None

    def make_room(key: int) -> None:
        if len(once) + len(once_gone) == size:
            if len(once) < size:
                once_gone.popitem(last=False)
                replace(key)
            else:
                once.popitem(last=False)
        elif (known := len(once) + len(once_gone) + len(often) + len(often_gone)) >= size:
            if known == 2 * size:
                often_gone.popitem(last=False)
            replace(key)

    def request(key: int) -> bool:
        nonlocal target
        if key in once or key in often:
            once.pop(key, None)
            often[key] = None
            often.move_to_end(key)
            return True
        if key in once_gone or key in often_gone:
            if key in once_gone:
                target = min(size, target + max(len(often_gone) / len(once_gone), 1))
            else:
                target = max(0, target - max(len(once_gone) / len(often_gone), 1))
            replace(key)
            once_gone.pop(key, None)
            often_gone.pop(key, None)
            often[key] = None
        else:
            make_room(key)
            once[key] = None
        return False

    return request


def optimum(requests: Sequence[int], size: int) -> float:
    """The share of hits of Belady's optimum, which evicts the key that is used again last."""
    following = [len(requests)] * len(requests)
    last: dict[int, int] = {}
    for at in range(len(requests) - 1, -1, -1):
        following[at] = last.get(requests[at], len(requests))
        last[requests[at]] = at
    due: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for key, again in zip(requests, following, strict=True):
        hits += key in due
        due[key] = again
        heappush(latest, (-again, key))
        while len(due) > size:
            when, victim = heappop(latest)
            if due.get(victim) == -when:
                del due[victim]
    return hits / len(requests)


POLICIES: dict[str, MakeCache] = {"LRU": lru, "S3-FIFO": s3_fifo, "ARC": arc}


# Caches that programs use


def of_mapping(make: Callable[[int], Any]) -> MakeCache:
    """A cache that is a mapping, such as cachetools': `get`, and a store if that found nothing."""

    def made(size: int) -> Request:
        cache = make(size)
        get, store = cache.get, cache.__setitem__

        def request(key: int) -> bool:
            if get(key) is not None:
                return True
            store(key, True)
            return False

        return request

    return made


def functools_lru(size: int) -> Request:
    calls = 0

    @lru_cache(maxsize=size)
    def fetch(key: int) -> None:
        nonlocal calls
        calls += 1

    def request(key: int) -> bool:
        before = calls
        fetch(key)
        return calls == before

    return request


def moka(size: int) -> Request:
    cache = import_module("moka_py").Moka(size)

    def request(key: int) -> bool:
        if cache.get(key) is not None:
            return True
        cache.set(key, True)
        return False

    return request


def theine(size: int) -> Request:
    cache = import_module("theine").Cache(size)

    def request(key: int) -> bool:
        if cache.get(key)[1]:
            return True
        cache.set(key, True)
        return False

    return request


def in_package(name: str, attribute: str) -> MakeCache:
    return of_mapping(lambda size: getattr(import_module(name), attribute)(size))


RIVALS: Mapping[str, tuple[str, MakeCache]] = {
    "functools.lru_cache": ("functools", functools_lru),
    "cachetools.LRUCache": ("cachetools", in_package("cachetools", "LRUCache")),
    "cachetools.LFUCache": ("cachetools", in_package("cachetools", "LFUCache")),
    "cachebox.LRUCache": ("cachebox", in_package("cachebox", "LRUCache")),
    "cachebox.LFUCache": ("cachebox", in_package("cachebox", "LFUCache")),
    "moka_py.Moka": ("moka_py", moka),
    "theine.Cache": ("theine", theine),
}


def installed() -> dict[str, MakeCache]:
    """The rivals whose packages can be imported."""
    found = {}
    for name, (package, make) in RIVALS.items():
        try:
            import_module(package)
        except ImportError:
            continue
        found[name] = make
    return found


def hit_ratios(
    requests: Sequence[int], sizes: Iterable[int], caches: Mapping[str, MakeCache]
) -> Iterable[HitRatio]:
    """Of each cache at each size, and of the optimum."""
    for size in sizes:
        for name, make in caches.items():
            yield HitRatio(name, size, replay(make, requests, size))
        yield HitRatio("optimum", size, optimum(requests, size))


def report(ratios: Iterable[HitRatio]) -> str:
    """A table in percent: a row for each cache, a column for each size."""
    table: dict[str, dict[int, float]] = {}
    for each in ratios:
        table.setdefault(each.cache, {})[each.size] = each.ratio
    sizes = list(next(iter(table.values()), {}))
    width = max(map(len, table), default=0)
    lines = [" " * width + "".join(f"{size:>10,}" for size in sizes)]
    lines += [
        f"{name:{width}}" + "".join(f"{100 * row[size]:>10.2f}" for size in sizes)
        for name, row in table.items()
    ]
    return "\n".join(lines)
