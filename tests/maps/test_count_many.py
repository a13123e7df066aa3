"""count_many: keys of every kind, and lists that change while they are read.

A list's keys are counted in place as long as no user code runs. The lists here have more keys than the
native table has places: so some keys go to the map, and run user code, before the list is read to its end.
"""

from __future__ import annotations

import ctypes
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.keys import Runs
from threadproof.maps import HashMap, LockedMap, ShardedMap, SyncMap

NATIVE = pytest.mark.parametrize("make", [HashMap, LockedMap, ShardedMap, SyncMap])
Map = HashMap[Any, Any] | LockedMap[Any, Any] | ShardedMap[Any, Any] | SyncMap[Any, Any]

MANY = 20_000


def words(count: int = MANY) -> list[Any]:
    return [f"word {i}" for i in range(count)]


# The key that is counted, and the key that is kept


class Word(str):
    """Equal to a str, and told from it by its type."""

    __slots__ = ()


def typed(m: Map) -> dict[tuple[type, Any], int]:
    return {(type(key), key): count for key, count in m.items()}


@NATIVE
def test_the_key_that_is_kept_is_the_first_that_is_counted(make: Any) -> None:
    for keys in (["a", Word("a"), "a"], [Word("a"), "a", Word("a")], [1, True, 1.0], [1.0, 1]):
        m = make()
        m.count_many(keys)
        assert typed(m) == {(type(keys[0]), keys[0]): len(keys)}


@NATIVE
def test_keys_that_are_read_in_place_and_others_keep_their_order(make: Any, seed: int) -> None:
    chance = random.Random(seed)
    one = [1, True, 1.0, (1,), (True,), (1.0,), -1, -1.0, 2**70, 2.0**70, None]
    kinds = [*one, "a", Word("a"), b"a", ("a",), (Word("a"),), "ä", Word("ä"), "a" * 20, Word("a" * 20)]
    for length in (2, 10, 300, 300, 1_000):
        keys, m, one_by_one = chance.choices(kinds, k=length), make(), make()
        m.count_many(keys)
        for key in keys:
            one_by_one.add(key)
        assert typed(m) == typed(one_by_one)
        m.check()


def test_what_is_counted_does_not_depend_on_how_often_it_comes() -> None:
    words = [f"word {i * i % 9_973 % (10 ** (i % 5))}" for i in range(50_000)]  # some come often, some once
    keys = [*words, *[(word, 1) for word in words], *range(5_000), *[float(i) for i in range(5_000)]]
    m = HashMap[Any, int]()
    m.count_many(keys)
    m.count_many(tuple(keys))
    m.count_many(iter(keys))
    assert m == {key: 3 * n for key, n in Counter(keys).items()}
    m.check()


def of_one_hash(key: Any) -> Any:
    """Write a hash into a str or bytes that was just made: both keep theirs after the length, or the type."""
    offset = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
    ctypes.c_ssize_t.from_address(id(key) + offset).value = 12345
    assert hash(key) == 12345
    return key


@NATIVE
@pytest.mark.parametrize("filling", ["x", "é", "€", "😀", b"x"])
def test_strings_of_one_hash_are_told_apart_wherever_they_differ(make: Any, filling: Any) -> None:
    other = filling[:0].join([b"y" if isinstance(filling, bytes) else "y"])
    for length in range(2, 36):

        def keys(length: int = length) -> list[Any]:
            all_but = [filling * i + other + filling * (length - i - 1) for i in range(length)]
            return [of_one_hash(key) for key in (*all_but, filling * length, filling * (length + 1))]

        m = make()
        m.count_many(keys() * 2)
        assert sorted(m) == sorted(keys())
        assert m.get_many(keys()) == [2] * len(keys())


@NATIVE
@pytest.mark.parametrize("of", [list, tuple])
@pytest.mark.parametrize("place", [0, 1, 15, 16, 255, 256, 257, 999])
def test_an_unhashable_key_raises_when_all_before_it_are_counted(make: Any, of: Any, place: int) -> None:
    keys = words(1_000)
    keys[place] = []
    m = make()
    with pytest.raises(TypeError, match="unhashable"):
        m.count_many(of(keys))
    assert m == dict.fromkeys(keys[:place], 1)


LAST: dict[str, Callable[[], Any]] = {
    "counted": lambda: "the last",
    "unhashable": list,
    "raising": lambda: Runs(lambda: 1 / 0),
}


@NATIVE
@pytest.mark.parametrize("last", LAST)
def test_what_was_counted_has_the_references_it_had(make: Any, last: str) -> None:
    keys = [*words(), *words(100), *[float(i) for i in range(100)], *[2**70 + i for i in range(100)]]
    m = make(dict.fromkeys([*words(), *map(float, range(100)), *range(2**70, 2**70 + 100)], 0))
    before = list(map(sys.getrefcount, keys))
    try:
        m.count_many([*keys, LAST[last]()])
        assert last == "counted"
    except (TypeError, ZeroDivisionError):
        assert last != "counted"
    assert list(map(sys.getrefcount, keys)) == before


# Lists that change


class Liar:
    """A key with a word's hash; it runs a function when it is compared with one."""

    def __init__(self, word: str, fn: Callable[[], object]) -> None:
        self.hash, self.fn = hash(word), fn

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        self.fn()
        return False


class Delta:
    """Adds one, and runs a function."""

    def __init__(self, fn: Callable[[], object]) -> None:
        self.fn = fn

    def __radd__(self, number: int) -> int:
        self.fn()
        return number + 1


CHANGES: dict[str, Callable[[list[Any]], object]] = {
    "cleared": list.clear,
    "halved": lambda keys: keys.__delitem__(slice(MANY // 2, None)),
    "grown": lambda keys: keys.extend(words()),
    "sorted": lambda keys: keys.sort(key=str),
    "replaced": lambda keys: keys.__setitem__(slice(None), [f"another {word}" for word in keys]),
}
SHORTER = {"cleared": 0, "halved": MANY // 2}


@NATIVE
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["hash", "equality", "addition"])
def test_what_user_code_does_to_the_list_that_is_counted(make: Any, change: str, by: str) -> None:
    keys, ran = words(), list[int]()

    def once() -> None:
        if not ran:
            ran.append(len(keys))
            CHANGES[change](keys)

    m = make(dict.fromkeys([Liar(word, once) for word in keys[:5_000]], 0) if by == "equality" else {})
    if by == "hash":
        keys[3_000] = Runs(once)
    delta = Delta(once) if by == "addition" else 1
    if change in SHORTER:
        with pytest.raises(
            RuntimeError, match=f"had {MANY} items at first, and has {SHORTER[change]} now that"
        ):
            m.count_many(keys, delta)
        assert 0 < sum(m.values()) < MANY
    else:
        m.count_many(keys, delta)
        assert sum(m.values()) == MANY
    assert ran == [MANY]
    m.check()


@NATIVE
def test_a_list_may_be_counted_while_it_is_counted(make: Any) -> None:
    keys, m = words(), make()
    keys[700] = Runs(lambda: m.count_many(keys))
    m.count_many(keys)
    assert m == dict.fromkeys(keys, 2)


@NATIVE
def test_no_key_is_counted_from_before_one_that_was_read_after_the_list_changed(make: Any) -> None:
    keys: list[Any] = words(1_000)
    others: list[Any] = [
        ("another", word) if i % 100 == 0 else f"another {word}" for i, word in enumerate(keys)
    ]
    keys[255] = Runs(lambda: keys.__setitem__(slice(None), others))  # the last of a piece
    m = make()
    m.count_many(keys)
    assert set(others[256:]) <= set(m)
    assert not set(words(1_000)[256:]) & set(m)


@NATIVE
def test_what_is_counted_may_count_and_so_on(make: Any) -> None:
    """Each level takes some of the C stack, which CPython does not check before 3.14: so only a few KiB."""
    m, levels = make(), 100

    def count(level: int) -> None:
        if level < levels:
            m.count_many([level], Delta(lambda: count(level + 1)))

    m.update(dict.fromkeys(range(levels), 0))
    before = threading.stack_size(512 << 10)
    try:
        hammer(lambda _: count(0), 1)
    finally:
        threading.stack_size(before)
    assert m == dict.fromkeys(range(levels), 1)


def grow_and_shrink(keys: list[Any], size: int) -> None:
    keys += [size] * 1_000
    keys.append("one more")
    keys.pop()
    del keys[size:]


def replace(keys: list[Any], size: int) -> None:
    keys[:] = words(size)  # others, and those before are freed


@NATIVE
@pytest.mark.parametrize("change", [grow_and_shrink, replace])
def test_two_threads_count_a_list_that_a_third_one_changes(make: Any, change: Callable[..., None]) -> None:
    size, rounds = 512, 200  # so many are whole pieces: counted even where the next one has become too short
    m, keys, done = make(), words(size), list[int]()

    def work(thread: int) -> None:
        while thread == 2 and len(done) < 2:
            change(keys, size)
        for _ in range(0 if thread == 2 else rounds):
            try:
                m.count_many(keys)
            except RuntimeError as error:
                assert "items at first" in str(error)  # noqa: PT017
        done.append(thread)

    hammer(work, 3)
    assert m.get_many(words(size)) == [2 * rounds] * size
    m.check()
