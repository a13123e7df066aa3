"""The contract, one operation at a time, in one thread: on present and absent keys, and with wrong arguments.

Its sister files hold what is about keys, computations, threads, and the map as a whole.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, UserDict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest

from tests.maps.conftest import MapMaker
from threadproof import REMOVE

VALUES = [
    None,
    0,
    False,
    "",
    (),
    [],
    {},
    math.nan,
    -0.0,
    2**100,
    "text",
    b"bytes",
    1j,
    object(),
    NotImplemented,
    ...,
]


def a_type(value: object) -> str:
    return type(value).__name__


# One key


@pytest.mark.parametrize("value", VALUES, ids=a_type)
def test_a_stored_value_is_the_one_every_read_returns(make_map: MapMaker, value: object) -> None:
    m = make_map()
    m["k"] = value
    assert m["k"] is value
    assert m.get("k", "other") is value
    assert "k" in m
    assert m.setdefault("k", "other") is value
    assert m.compute_if_absent("k", lambda key: "other") is value
    assert m.get_many(["k"])[0] is value
    assert next(iter(m.values())) is value
    assert m.snapshot()["k"] is value
    assert m.pop("k") is value
    assert len(m) == 0


@pytest.mark.parametrize("value", VALUES, ids=a_type)
def test_any_value_can_be_stored_by_every_operation(make_map: MapMaker, value: object) -> None:
    m = make_map()
    assert m.swap(1, value, "none") == "none"
    assert m.setdefault(2, value) is value
    assert m.compute(3, lambda old: value) is value
    assert m.compute_if_absent(4, lambda key: value) is value
    assert m.merge(5, value, lambda old, new: "merged") is value
    m.set_many([6, 7], [value, value])
    m.update({8: value})
    assert all(m[number] is value for number in range(1, 9))
    assert len(m) == 8


def test_get_of_an_absent_key_is_the_default(make_map: MapMaker) -> None:
    m = make_map(a=1)
    assert m.get("b") is None
    assert m.get("b", 2) == 2
    assert m.get("b", default=3) == 3
    assert "b" not in m
    with pytest.raises(KeyError) as raised:
        m["b"]
    assert raised.value.args == ("b",)


def test_swap_returns_what_it_replaced(make_map: MapMaker) -> None:
    m = make_map()
    assert m.swap("k", 1) is None
    assert m.swap("k", None, "none") == 1
    assert m.swap("k", 2, "none") is None
    assert m.swap("new", 3, default="none") == "none"
    assert m == {"k": 2, "new": 3}


def test_del_and_pop_remove_once(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    del m["a"]
    assert m.pop("b") == 2
    for remove in (m.pop, m.__delitem__):
        with pytest.raises(KeyError) as raised:
            remove("a")
        assert raised.value.args == ("a",)
    assert m.pop("a", None) is None
    assert m.pop("a", default=4) == 4
    assert m == {}


def test_setdefault_stores_only_where_there_is_nothing(make_map: MapMaker) -> None:
    m = make_map(a=None)
    assert m.setdefault("a", 1) is None
    assert m.setdefault("b", 2) == 2
    assert m.setdefault("c") is None
    assert m == {"a": None, "b": 2, "c": None}


def test_popitem_takes_every_entry_once(make_map: MapMaker) -> None:
    entries = {number: str(number) for number in range(100)}
    m = make_map(entries)
    assert dict(m.popitem() for _ in entries) == entries
    with pytest.raises(KeyError, match=rf"{make_map.type.__name__}.popitem\(\): the map is empty"):
        m.popitem()


# Compare and act


def test_compare_and_swap_stores_only_in_place_of_what_was_expected(make_map: MapMaker) -> None:
    m = make_map(k=1)
    assert not m.compare_and_swap("k", 2, 3)
    assert m["k"] == 1
    assert m.compare_and_swap("k", 1, 2) is True
    assert m["k"] == 2
    assert m.compare_and_swap("k", 2, None)
    assert m.compare_and_swap("k", None, 5)
    assert m == {"k": 5}


def test_compare_and_delete_removes_only_what_was_expected(make_map: MapMaker) -> None:
    m = make_map(k=1)
    assert not m.compare_and_delete("k", 2)
    assert m == {"k": 1}
    assert m.compare_and_delete("k", 1) is True
    assert m == {}


def test_an_absent_key_is_never_what_was_expected(make_map: MapMaker) -> None:
    m = make_map()
    always: Callable[[Any, Any], bool] = lambda current, expected: True  # noqa: E731
    assert not m.compare_and_swap("k", None, 1)
    assert not m.compare_and_swap("k", None, 1, equal=always)
    assert not m.compare_and_delete("k", None)
    assert not m.compare_and_delete("k", None, equal=always)
    assert m == {}


def test_comparing_is_by_identity_and_then_by_equality(make_map: MapMaker) -> None:
    nan, big = math.nan, 10**30
    m = make_map(nan=nan, zero=0.0, big=big, one=1)
    assert m.compare_and_swap("nan", nan, "itself")
    assert not m.compare_and_swap("nan", float("nan"), "another")
    assert m.compare_and_swap("zero", -0.0, "equal")
    assert m.compare_and_swap("big", int(str(big)), "equal")
    assert m.compare_and_delete("one", True)
    assert m == {"nan": "itself", "zero": "equal", "big": "equal"}


def test_equal_decides_with_the_current_value_first(make_map: MapMaker) -> None:
    m = make_map(k=10)
    assert m.compare_and_swap("k", 3, 1, equal=lambda current, expected: current > expected)
    assert not m.compare_and_swap("k", 3, 2, equal=lambda current, expected: current > expected)
    assert m.compare_and_delete("k", 3, equal=lambda current, expected: [current, expected] == [1, 3])


@pytest.mark.parametrize("operation", ["compare_and_swap", "compare_and_delete"])
def test_a_comparison_that_raises_changes_nothing(make_map: MapMaker, operation: str) -> None:
    class Incomparable:
        def __eq__(self, other: object) -> bool:
            raise ArithmeticError("eq")

        def __bool__(self) -> bool:
            raise ArithmeticError("bool")

    value = Incomparable()
    m = make_map(k=value)
    new = [] if operation == "compare_and_delete" else ["new"]
    with pytest.raises(ArithmeticError, match="eq"):
        getattr(m, operation)("k", 1, *new)
    with pytest.raises(ArithmeticError, match="bool"):
        getattr(m, operation)("k", 1, *new, equal=lambda current, expected: value)
    assert m["k"] is value


def test_a_comparison_may_write_the_key_and_is_then_done_again(make_map: MapMaker) -> None:
    m = make_map(k=1)
    seen: list[int] = []

    def interfering(current: int, expected: object) -> bool:
        seen.append(current)
        if current == 1:
            m["k"] = 2
        return True

    assert m.compare_and_swap("k", None, 3, equal=interfering)
    assert seen == [1, 2]
    assert m["k"] == 3


# Computing


def test_compute_stores_what_fn_makes_of_the_old_value(make_map: MapMaker) -> None:
    m = make_map(k=1)
    assert m.compute("k", lambda old: old + 1, 0) == 2
    assert m.compute("new", lambda old: [old]) == [None]
    assert m.compute("count", lambda old: old + 1, 0) == 1
    assert m.compute("count", lambda old: old + 1, default=0) == 2
    assert m == {"k": 2, "new": [None], "count": 2}


def test_compute_if_absent_calls_fn_with_the_key_only_when_it_is_absent(make_map: MapMaker) -> None:
    m = make_map(k=None)
    assert m.compute_if_absent("new", lambda key: key * 2) == "newnew"
    assert m.compute_if_absent("k", not_called) is None
    assert m == {"k": None, "new": "newnew"}


def test_compute_if_present_calls_fn_only_when_the_key_is_present(make_map: MapMaker) -> None:
    m = make_map(k=None)
    assert m.compute_if_present("k", lambda old: [old]) == [None]
    assert m.compute_if_present("new", not_called) is None
    assert m == {"k": [None]}


def test_merge_stores_the_value_or_what_fn_makes_of_both(make_map: MapMaker) -> None:
    m = make_map()
    assert m.merge("k", "a", not_called) == "a"
    assert m.merge("k", "b", lambda old, value: old + value) == "ab"
    assert m == {"k": "ab"}


def test_remove_deletes_the_key_and_leaves_an_absent_one_absent(make_map: MapMaker) -> None:
    for entries in ({}, {"k": 1}):
        m = make_map(entries)
        assert m.compute("k", lambda old: REMOVE) is None
        assert m == {}
        assert m.compute("k", lambda old: REMOVE, "default") == "default"
        m.update(entries)
        assert m.compute_if_present("k", lambda old: REMOVE) is None
        assert m.compute_if_absent("k", lambda key: REMOVE) is None
        assert m == {}
    m = make_map(k=1)
    assert m.merge("k", 2, lambda old, value: REMOVE) is None
    assert len(m) == 0


def not_called(*args: object) -> Any:
    pytest.fail(f"called with {args}")


# Adding


def test_add_returns_the_sum_and_starts_at_initial(make_map: MapMaker) -> None:
    m = make_map(k=1)
    assert m.add("k") == 2
    assert m.add("k", 5) == 7
    assert m.add("k", -7) == 0
    assert m.add("new") == 1
    assert m.add("from ten", 1, 10) == 11
    assert m.add("from ten", initial=10, delta=2) == 13
    assert m == {"k": 0, "new": 1, "from ten": 13}


@pytest.mark.parametrize(
    ("initial", "delta"),
    [
        (1, 2),
        (2**59, 2**59),
        (2**60 - 1, 1),
        (2**62, 2**62),
        (2**63 - 1, 1),
        (-(2**63), -1),
        (10**30, 1),
        (0.5, 0.25),
        (1, 0.5),
        (0.5, 1),
        (True, True),
        (1, 1j),
        (Decimal("0.1"), Decimal("0.2")),
        (Fraction(1, 3), 1),
        ("a", "b"),
        ((1,), (2,)),
        (-0.0, 0),
        (math.inf, -math.inf),
    ],
)
def test_add_adds_as_plus_does(make_map: MapMaker, initial: Any, delta: Any) -> None:
    m, want = make_map(), initial + delta
    for got in (m.add("k", delta, initial), m["k"]):
        assert (type(got), repr(got)) == (type(want), repr(want))
    m["k"] = initial
    assert repr(m.add("k", delta)) == repr(want)


def test_add_to_what_cannot_be_added_to_changes_nothing(make_map: MapMaker) -> None:
    m = make_map(k=None)
    for key in ("k", "new"):
        with pytest.raises(TypeError, match="unsupported operand"):
            m.add(key, 1, initial=None)
    assert m == {"k": None}


def test_add_calls_the_plus_of_a_value_once(make_map: MapMaker) -> None:
    calls: list[object] = []

    class Total:
        def __add__(self, delta: object) -> Total:
            calls.append(delta)
            return Total()

    m = make_map(k=Total())
    assert m.add("k", 2) is m["k"]
    assert calls == [2]


# Many keys


def test_get_many_returns_a_value_or_the_default_for_each_key(make_map: MapMaker) -> None:
    m = make_map({1: "one", 2: None})
    assert m.get_many([1, 2, 3, 1]) == ["one", None, None, "one"]
    assert m.get_many(range(4), "?") == ["?", "one", None, "?"]
    assert m.get_many((key for key in (2, 1)), default=0) == [None, "one"]
    assert m.get_many({1: "a dict"}) == ["one"]
    assert m.get_many([]) == []


def test_set_many_stores_in_order(make_map: MapMaker) -> None:
    m = make_map(a=0)
    m.set_many("abca", [1, 2, 3, 4])
    assert m == {"a": 4, "b": 2, "c": 3}
    m.set_many((key for key in "xy"), iter([5, 6]))
    assert m["x"] == 5
    assert m["y"] == 6
    m.set_many([], [])
    assert len(m) == 5


def test_delete_many_counts_the_keys_that_were_there(make_map: MapMaker) -> None:
    m = make_map.type.fromkeys(range(5))
    assert m.delete_many([0, 1, 1, 7]) == 2
    assert m.delete_many(key for key in (2, 3)) == 2
    assert m.delete_many([]) == 0
    assert m == {4: None}


def test_count_many_counts(make_map: MapMaker) -> None:
    m = make_map()
    text = "mississippi"
    m.count_many(text)
    assert m == Counter(text)
    m.count_many((letter for letter in "miss"), 10)
    m.count_many("m", delta=0.5)
    assert m == {"m": 11.5, "i": 14, "s": 24, "p": 2}


@pytest.mark.parametrize("operation", ["get_many", "set_many", "delete_many", "count_many"])
def test_keys_that_cannot_be_read_to_their_end_change_nothing(make_map: MapMaker, operation: str) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise ArithmeticError("broken")

    m = make_map(a=1)
    values = [[2, 3]] if operation == "set_many" else []
    with pytest.raises(ArithmeticError, match="broken"):
        getattr(m, operation)(broken(), *values)
    with pytest.raises(TypeError, match="not iterable"):
        getattr(m, operation)(None, *values)
    assert m == {"a": 1}


def test_many_stops_at_a_key_that_raises_with_those_before_it_done(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    with pytest.raises(TypeError, match="unhashable"):
        m.set_many(["a", [], "b"], [10, 20, 30])
    assert m == {"a": 10, "b": 2}
    with pytest.raises(TypeError, match="unhashable"):
        m.count_many(["a", [], "b"])
    assert m == {"a": 11, "b": 2}
    with pytest.raises(TypeError, match="unhashable"):
        m.delete_many(["a", [], "b"])
    assert m == {"b": 2}
    with pytest.raises(TypeError, match="unhashable"):
        m.get_many(["a", [], "b"])


@pytest.mark.parametrize(("keys", "values"), [([1], []), ([], [1]), ([1, 2], [1]), ([1], [1, 2])])
def test_set_many_of_different_lengths_stores_nothing(make_map: MapMaker, keys: Any, values: Any) -> None:
    m = make_map()
    with pytest.raises(
        ValueError, match=f"value for each key, got {len(keys)} keys and {len(values)} values"
    ):
        m.set_many(iter(keys), iter(values))
    assert m == {}


# Update


class HasKeys:
    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> str:
        return key.upper()


@pytest.mark.parametrize(
    "of",
    [
        dict,
        OrderedDict,
        UserDict,
        lambda entries: MappingProxyType(entries),
        lambda entries: HasKeys(),
        lambda entries: list(entries.items()),
        lambda entries: (key + value for key, value in entries.items()),
        lambda entries: entries.items(),
    ],
    ids=["dict", "OrderedDict", "UserDict", "proxy", "has keys", "pairs", "generator", "items"],
)
def test_a_map_is_filled_from_all_that_fills_a_dict(make_map: MapMaker, of: Callable[[Any], Any]) -> None:
    m = make_map(of({"a": "A", "b": "B"}), c="C")
    assert m == {"a": "A", "b": "B", "c": "C"}


def test_update_replaces_and_adds(make_map: MapMaker) -> None:
    m = make_map({"a": 1}, b=2)
    m.update({"b": 3}, c=4)
    m.update(make_map(d=5))
    m.update()
    m.update(m)
    m.update(self=6, other=7)
    assert m == {"a": 1, "b": 3, "c": 4, "d": 5, "self": 6, "other": 7}


@pytest.mark.parametrize(
    ("pairs", "error", "shown"),
    [
        ([("a", 1), "b"], ValueError, "'b'"),
        ([("a", 1), 7], TypeError, "7"),
        ([("a", 1), "xyz"], ValueError, "'xyz'"),
    ],
)
def test_update_names_what_is_not_a_pair(
    make_map: MapMaker, pairs: Any, error: type[Exception], shown: str
) -> None:
    m = make_map()
    with pytest.raises(error, match=rf"update\(\) wants pairs \(key, value\), but element 1 is {shown}"):
        m.update(pairs)
    assert m == {"a": 1}


def test_or_makes_a_new_map_and_the_right_side_wins(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2)
    assert m | {"b": 3} == {"a": 1, "b": 3}
    assert {"b": 3} | m == {"a": 1, "b": 2}
    assert m | make_map(c=4) == {"a": 1, "b": 2, "c": 4}
    for new in (m | {}, {} | m, m | m):
        assert type(new) is make_map.type
        assert new == m
        assert new is not m
    same = m
    m |= {"b": 5}
    m |= [("c", 6)]
    assert same is m
    assert m == {"a": 1, "b": 5, "c": 6}


@pytest.mark.parametrize("other", [None, 1, [("a", 1)], "ab"], ids=a_type)
def test_or_wants_a_mapping(make_map: MapMaker, other: Any) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = make_map() | other
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = other | make_map()


# Wrong arguments

COMPUTING = ["compute", "compute_if_absent", "compute_if_present", "merge"]


def computing(m: Mapping[Any, Any], operation: str, fn: Any, **options: Any) -> Any:
    value = ["value"] if operation == "merge" else []
    return getattr(m, operation)("k", *value, fn, **options)


@pytest.mark.parametrize("operation", COMPUTING)
@pytest.mark.parametrize("entries", [{}, {"k": 1}], ids=["absent", "present"])
def test_what_cannot_be_called_is_refused(
    make_map: MapMaker, operation: str, entries: dict[str, int]
) -> None:
    m, name = make_map(entries), make_map.type.__name__
    with pytest.raises(
        TypeError, match=rf"^{name}\.{operation}\(\) wants fn\(.*\) -> \w+, got NoneType; to "
    ):
        computing(m, operation, None)
    assert m == entries


@pytest.mark.parametrize("operation", COMPUTING)
@pytest.mark.parametrize("entries", [{}, {"k": 1}], ids=["absent", "present"])
@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (-0.5, ValueError), (math.nan, ValueError), ("soon", TypeError), ([], TypeError)],
)
def test_a_timeout_that_is_none_is_refused(
    make_map: MapMaker, operation: str, entries: dict[str, int], timeout: Any, error: type[Exception]
) -> None:
    m, name = make_map(entries), make_map.type.__name__
    shown = repr(timeout) if error is ValueError else type(timeout).__name__
    with pytest.raises(error, match=rf"^{name}\.{operation}\(\) wants timeout in seconds.*got {shown}; "):
        computing(m, operation, not_called, timeout=timeout)
    assert m == entries


@pytest.mark.parametrize("timeout", [None, 0, 0.0, 1, 1e300, math.inf, True])
def test_any_other_timeout_is_taken(make_map: MapMaker, timeout: float | None) -> None:
    assert make_map().compute("k", lambda old: 1, timeout=timeout) == 1


@pytest.mark.parametrize("operation", ["compare_and_swap", "compare_and_delete"])
def test_an_equal_that_cannot_be_called_is_refused(make_map: MapMaker, operation: str) -> None:
    m, name = make_map(k=1), make_map.type.__name__
    new = [2] if operation == "compare_and_swap" else []
    with pytest.raises(
        TypeError, match=rf"^{name}\.{operation}\(\) wants equal\(current, expected\).*got int; "
    ):
        getattr(m, operation)("k", 1, *new, equal=3)
    assert m == {"k": 1}


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get", ()),
        ("get", (1, 2, 3)),
        ("pop", ()),
        ("popitem", (1,)),
        ("setdefault", ()),
        ("swap", (1,)),
        ("compare_and_swap", (1, 2)),
        ("compare_and_swap", (1, 2, 3, lambda current, expected: True)),
        ("compare_and_delete", (1,)),
        ("compute", (1,)),
        ("compute_if_absent", (1,)),
        ("merge", (1, 2)),
        ("add", ()),
        ("get_many", ()),
        ("set_many", ([],)),
        ("update", ({}, {})),
        ("clear", (1,)),
        ("drain", (1,)),
        ("snapshot", (1,)),
        ("copy", (1,)),
        ("keys", (1,)),
        ("__init__", ({}, {})),
    ],
)
def test_a_wrong_number_of_arguments_is_a_type_error(
    make_map: MapMaker, operation: str, arguments: tuple[Any, ...]
) -> None:
    m = make_map({1: 1})
    with pytest.raises(TypeError):
        getattr(m, operation)(*arguments)
    assert m == {1: 1}
