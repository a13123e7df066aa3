"""The contract, by what may be a key: equal keys of different types, equal hashes, and keys that raise."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from tests.maps.conftest import MapMaker
from tests.maps.keys import Broken, Key, RaisingKey
from tests.maps.operations import EVERY, REMOVALS, REPLACEMENTS, STORES, Map


class Text(str):
    """A str that is its own kind of key: equal to no str."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


class Number(int):
    """An int that is its own kind of key: equal to no int."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = int.__hash__


ONES = [1, 1.0, True, 1 + 0j, Decimal(1), Fraction(1)]
ODD = [
    None,
    "",
    "key",
    "k\0y",
    "ключ",
    "🗝" * 100,
    b"",
    b"key",
    0,
    -1,
    -2,
    2**60 - 1,
    2**60,
    -(2**60),
    2**61 - 1,
    2**61,
    2**63,
    -(2**63),
    2**64,
    10**100,
    0.5,
    math.inf,
    math.nan,
    False,
    ...,
    (),
    ("a", ("b", 1)),
    frozenset({1, 2}),
    int,
    len,
    Text("key"),
    Number(7),
    7,
    range(3),
    1j,
]


def test_odd_keys_live_side_by_side(make_map: MapMaker) -> None:
    keys = [key for key in ODD if key is not False]  # equal to 0
    m = make_map((key, [key]) for key in keys)
    assert len(m) == len(keys)
    for key in keys:
        assert m[key] == [key]
        assert m.compute(key, lambda old: (old, "computed")) == ([key], "computed")
    assert {id(key) for key in m} == {id(key) for key in keys}
    assert m.delete_many(keys) == len(keys)
    assert len(m) == 0


class Pair(tuple[Any, ...]):
    """A tuple that is its own kind of key: equal to no tuple."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = tuple.__hash__


ITEMS = [
    None,
    "1",
    "one and more",
    b"1",
    -1,
    -2,
    math.nan,
    float("nan"),
    2**70,
    float(2**70),
    (),
    (1,),
    *ONES,
    Number(1),
    Text("1"),
]
TUPLES: list[tuple[Any, ...]] = [
    *((item,) for item in ITEMS),
    *(("same", item) for item in ITEMS),
    (),
    Pair((1,)),
    *(tuple(range(n)) for n in (15, 16, 17)),
    *(tuple(map(float, range(n))) for n in (15, 16, 17)),
]


def test_a_tuple_is_found_where_a_dict_finds_it(make_map: MapMaker) -> None:
    for stored in [*TUPLES, *ITEMS]:
        m, d = make_map({stored: 1}), {stored: 1}
        for key in [*TUPLES, *ITEMS]:
            assert (key in m, m.get(key)) == (key in d, d.get(key)), f"{key!r} in {d!r}"
            assert m.get_many([key]) == [d.get(key)]


@pytest.mark.parametrize("key", ODD, ids=ascii)
def test_every_operation_finds_an_odd_key(make_map: MapMaker, key: Any) -> None:
    for operation in EVERY.values():
        m = make_map({key: 0, "another": 0})
        operation(m, key)
        assert m["another"] == 0
        assert len(m) in (1, 2)


@pytest.mark.parametrize("first", ONES, ids=repr)
def test_equal_keys_of_different_types_are_one_key_and_the_first_stays(
    make_map: MapMaker, first: Any
) -> None:
    for store in STORES.values():
        m = make_map({first: "first"})
        for key in ONES:
            store(m, key, "next")
            m[key] = type(key)
            assert m.compare_and_swap(key, type(key), 1)
            m.count_many([key])
            assert m.get_many([key]) == [2]
            assert len(m) == 1
        assert next(iter(m)) is first
        assert next(iter(m.snapshot())) is first


def numbers(seed: int) -> Iterator[int | float]:
    """Ints and floats of every size and sign, and those about which hashing them natively might err."""
    random = Random(seed)
    prime = sys.hash_info.modulus
    for whole in (
        0,
        1,
        2,
        2**30,
        2**53,
        2**60,
        prime,
        2**61,
        2 * prime,
        2**62,
        2**64,
        2**89,
        prime**2,
        2**90,
    ):
        yield from (sign * (whole + by) for sign in (1, -1) for by in range(-3, 4))
    for power in range(-1074, 1024):
        yield from (sign * math.ldexp(random.randint(1, 2**53 - 1), power - 52) for sign in (1, -1))
        yield math.ldexp(1.0, power)
    yield from (sys.float_info.max, -sys.float_info.min, 5e-324, 0.1, -0.5, 1 / 3, 1e22, float(prime))
    yield from (random.getrandbits(bits) - (1 << bits >> 1) for bits in range(1, 130) for _ in range(8))


def test_a_number_is_found_by_its_equal_of_another_type(make_map: MapMaker) -> None:
    """Fraction hashes as Python's reference says, and looks at nobody's digits."""
    seed = 20_261_121
    for number in numbers(seed):
        m = make_map({number: "stored"})
        assert m.get(Fraction(number)) == "stored", f"{number!r}, seed {seed}"
        assert make_map({Fraction(number): "stored"}).get(number) == "stored", f"{number!r}, seed {seed}"


def test_an_infinity_is_found_by_its_equal_of_another_type(make_map: MapMaker) -> None:
    for infinity in (math.inf, -math.inf):
        assert Decimal(infinity) in make_map({infinity: 1})
        assert infinity in make_map({Decimal(infinity): 1})


@pytest.mark.parametrize("encode", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize("alphabet", ["ab", "äb", "яb", "🗝b"], ids=["ascii", "latin", "wide", "widest"])
def test_keys_that_differ_in_one_place_are_different_keys(
    make_map: MapMaker, alphabet: str, encode: Callable[[str], Any]
) -> None:
    first, second = alphabet[0], alphabet[1]
    for length in range(40):
        stored = [first * length]
        stored += [first * place + second + first * (length - place - 1) for place in range(length)]
        m = make_map((encode(text), place) for place, text in enumerate(stored))
        assert len(m) == length + 1
        assert m.get_many([encode("".join(list(text))) for text in stored]) == list(range(length + 1))
        assert m.get(encode(second * length), None) == {0: 0, 1: 1}.get(length)


def test_a_key_that_was_removed_is_not_kept(make_map: MapMaker) -> None:
    m = make_map({1: "one"})
    del m[1]
    m[1.0] = "new"
    assert repr(list(m)) == "[1.0]"


def test_zeros_are_one_key_and_nans_are_many(make_map: MapMaker) -> None:
    m = make_map()
    nan, other = float("nan"), float("nan")
    m[0.0], m[-0.0], m[nan], m[other] = 1, 2, 3, 4
    assert m[0] == 2
    assert [m[nan], m[other]] == [3, 4]
    assert float("nan") not in m
    assert len(m) == 3


def test_hash_minus_one_is_a_hash_like_any_other(make_map: MapMaker) -> None:
    keys = [Key(number, code) for number, code in enumerate([-1, -2, 0, 2**63 - 1, -(2**63), 2**63, -1])]
    m = make_map.type.fromkeys(keys)
    assert all(key in m for key in keys)
    assert m.delete_many(keys) == len(keys)


def test_equal_hashes_are_not_equal_keys(make_map: MapMaker, make_key: Callable[[int], Key]) -> None:
    m = make_map()
    for number in range(64):
        m[make_key(number)] = number
    for number in range(0, 64, 2):
        assert m.pop(make_key(number)) == number
    assert m == {make_key(number): number for number in range(1, 64, 2)}
    assert all(make_key(number) not in m for number in range(0, 64, 2))


SOME = {"one": slice(7, 8), "several": slice(3, 60, 7), "all": slice(None)}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
@pytest.mark.parametrize("some", SOME.values(), ids=SOME)
def test_removing_some_keys_leaves_the_others(
    make_map: MapMaker, make_key: Callable[[int], Key], remove: Callable[[Map, Any, Any], bool], some: slice
) -> None:
    model = {number: [number] for number in range(64)}
    m = make_map((make_key(number), value) for number, value in model.items())
    for number in range(64)[some]:
        value = model.pop(number)
        assert remove(m, make_key(number), value)
        assert not remove(m, make_key(number), value)
        assert make_key(number) not in m
    assert {key.number: value for key, value in m.items()} == model


@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
@pytest.mark.parametrize("some", SOME.values(), ids=SOME)
def test_replacing_some_values_leaves_the_others(
    make_map: MapMaker,
    make_key: Callable[[int], Key],
    replace: Callable[[Map, Any, Any, Any], bool],
    some: slice,
) -> None:
    model = {number: [number] for number in range(64)}
    m = make_map((make_key(number), value) for number, value in model.items())
    for number in range(64)[some]:
        old, model[number] = model[number], [-number]
        assert replace(m, make_key(number), old, model[number])
        assert m[make_key(number)] is model[number]
    assert {key.number: value for key, value in m.items()} == model


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("key", [[], {}, set(), ([],)], ids=repr)
def test_an_unhashable_key_is_a_type_error(make_map: MapMaker, name: str, key: Any) -> None:
    m = make_map(a=1)
    with pytest.raises(TypeError, match="unhashable"):
        EVERY[name](m, key)
    assert m == {"a": 1}


@pytest.mark.parametrize("name", EVERY)
def test_a_hash_that_raises_is_heard_and_nothing_changes(make_map: MapMaker, name: str) -> None:
    key = RaisingKey(1)
    m = make_map({key: 0})
    key.raises = "hash"
    with pytest.raises(Broken, match="hash"):
        EVERY[name](m, key)
    key.raises = ""
    assert m == {key: 0}


@pytest.mark.parametrize("name", EVERY)
def test_an_eq_that_raises_is_heard_and_nothing_changes(make_map: MapMaker, name: str) -> None:
    stored, wanted = RaisingKey(1), RaisingKey(2)
    m = make_map({stored: 0})
    stored.raises = wanted.raises = "eq"
    with pytest.raises(Broken, match="eq"):
        EVERY[name](m, wanted)
    assert m == {stored: 0}
    assert len(m) == 1


@pytest.mark.parametrize("name", EVERY)
def test_an_eq_may_write_to_the_map(make_map: MapMaker, name: str) -> None:
    class Writing(Key):
        def __eq__(self, other: object) -> bool:
            m["written"] = m.get("written", 0) + 1
            return super().__eq__(other)

        __hash__ = Key.__hash__

    m = make_map({"here": 0})
    m[Writing(1)] = 1
    perform(name, m, Writing(2))
    assert m["written"] >= 1
    assert m["here"] == 0
    assert len(m) in (3, 4)


def perform(name: str, m: Map, key: Any) -> None:
    """The operation on a key that is absent, for which some raise."""
    try:
        EVERY[name](m, key)
    except KeyError:
        assert name in ("[]", "del")
