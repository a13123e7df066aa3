"""Every contract test runs on every map, by `make_map`; `make_key` makes keys with good and bad hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.maps.keys import HASHES, Key
from tests.maps.kinds import LockedMapRW, ShardedMapRW
from threadproof.maps import Cache, ConcurrentMap, HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap


class RoomyCache(Cache[Any, Any]):
    """A Cache with room enough for every test of the contract, and a constructor like other maps'."""

    __slots__ = ()

    def __init__(self, other: Any = (), /, **kwargs: Any) -> None:
        super().__init__(max_size=1_000_000)
        self.update(other, **kwargs)


def ignore(key: object, value: object, cause: str) -> None:
    """An on_evict that can be pickled."""


class LastingCache(Cache[Any, Any]):
    """The same, with entries that expire, in an hour, and a listener."""

    __slots__ = ()

    def __init__(self, other: Any = (), /, **kwargs: Any) -> None:
        super().__init__(expire_after_write=3600, expire_after_access=3600, on_evict=ignore)
        self.update(other, **kwargs)


MAPS: list[type[ConcurrentMap[Any, Any]]] = [
    LockedMap,
    LockedMapRW,
    ShardedMap,
    ShardedMapRW,
    SnapshotMap,
    SyncMap,
    HashMap,
    RoomyCache,
    LastingCache,
]


class MapMaker:
    """Makes maps of one class, and keeps them so that they can be checked at the end."""

    def __init__(self, type: type[ConcurrentMap[Any, Any]]) -> None:  # noqa: A002  # what it is
        self.type = type
        self.made: list[ConcurrentMap[Any, Any]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> ConcurrentMap[Any, Any]:
        self.made.append(self.type(*args, **kwargs))
        return self.made[-1]


@pytest.fixture(params=MAPS, ids=lambda each: each.__name__)
def make_map(request: pytest.FixtureRequest) -> Iterator[MapMaker]:
    """Makes maps of the class under test; after the test they check themselves, where they can."""
    maker = MapMaker(request.param)
    yield maker
    for made in maker.made:
        check = getattr(made, "check", None)
        if check is not None:
            check()


@pytest.fixture(params=HASHES)
def make_key(request: pytest.FixtureRequest) -> Callable[[int], Key]:
    """Makes equal keys of equal numbers, with hashes that are good, truncated, or all the same."""
    hash_of = HASHES[request.param]
    return lambda number: Key(number, hash_of(number))
