"""What goes over a container item by item, while another thread inserts; and what copies it in one step."""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import json
import math
import pickle
import statistics
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.race.schedule import Box, reports, run

Case = Callable[[], None]


def beside_insertion(go_over: Callable[[Any], object], make: Callable[[], Any]) -> Case:
    """A thread goes over the container, and another one inserts."""

    def case() -> None:
        container = make()

        def insert() -> None:
            if isinstance(container, dict):
                container["new"] = "new"
            elif isinstance(container, set):
                container.add("new")
            else:
                container.append("new")

        run(lambda: go_over(container), insert)

    return case


class OwnDict(dict[Any, Any]):
    pass


DICT: dict[str, Callable[[Any], object]] = {
    "set_of_keys": lambda d: set(d.keys()),
    "set_of_values": lambda d: set(d.values()),
    "set_display_of_values": lambda d: {*d.values()},
    "frozenset_of_items": lambda d: frozenset(d.items()),
    "dict_of_items": lambda d: dict(d.items()),
    "update_with_items": lambda d: {}.update(d.items()),
    "set_update_with_keys": lambda d: set().update(d.keys()),
    "counter_of_values": lambda d: Counter(d.values()),
    "counter_of_values_by_module": lambda d: collections.Counter(d.values()),
    "counter_update_with_values": lambda d: Counter("a").update(d.values()),
    "deque_of_dict": lambda d: deque(d),
    "ordered_dict_of_items": lambda d: OrderedDict(d.items()),
    "tuple_of_dict": lambda d: tuple(d),
    "tuple_of_values": lambda d: tuple(d.values()),
    "argument_list_of_dict": lambda d: (lambda *a: a)(*d),
    "unpacking_of_values": lambda d: unpack(d.values()),
    "unpacking_with_star": lambda d: unpack_star(d),
    "join_of_dict": lambda d: ",".join(d),
    "sum_of_map": lambda d: sum(map(len, d)),
    "list_of_iterator": lambda d: list(iter(d)),
    "list_of_proxy": lambda d: list(types.MappingProxyType(d)),
    "fromkeys_of_values": lambda d: dict.fromkeys(d.values()),
    "chain_of_dicts": lambda d: list(itertools.chain(d, d)),
    "reduce_of_dict": lambda d: functools.reduce(max, d),
    "deepcopy_of_dict": lambda d: copy.deepcopy(d),
    "json_of_dict": lambda d: json.dumps(d),
    "mode_of_values": lambda d: statistics.mode(d.values()),
    "union_with_keys": lambda d: set().union(d.keys()),
    "difference_of_items": lambda d: d.items() - set(),
    "equality_of_items": lambda d: d.items() == {"a": "b"}.items(),
    "membership_in_values": lambda d: "x" in d.values(),
    "slice_stored_from_keys": lambda d: store_slice(d.keys()),
    "bound_constructor": lambda d: functools.partial(functools.reduce, max)(d),
}
DICT_IN_ONE_STEP: dict[str, Callable[[Any], object]] = {
    "list_of_dict": lambda d: list(d),
    "list_of_items": lambda d: list(d.items()),
    "list_display_of_values": lambda d: [*d.values()],
    "list_extend_with_keys": lambda d: [].extend(d.keys()),
    "dict_of_dict": lambda d: dict(d),
    "dict_display_of_dict": lambda d: {**d},
    "keyword_arguments": lambda d: (lambda **a: a)(**d),
    "update_with_dict": lambda d: {}.update(d),
    "sorted_dict": lambda d: sorted(d),
    "sorted_items": lambda d: sorted(d.items()),
    "frozenset_of_dict": lambda d: frozenset(d),
    "set_of_dict": lambda d: set(d),
    "counter_of_dict": lambda d: Counter(dict.fromkeys(d, 1)),
    "ordered_dict_of_dict": lambda d: OrderedDict(d),
    "defaultdict_of_dict": lambda d: defaultdict(str, d),
    "copy_of_dict": lambda d: copy.copy(d),
    "own_copy_of_dict": lambda d: d.copy(),
    "pickle_of_dict": lambda d: pickle.dumps(d),
    "fromkeys_of_dict": lambda d: dict.fromkeys(d),
    "median_of_dict": lambda d: statistics.median_low(d),
    "equality_of_dicts": lambda d: d == {"a": 1},
    "union_of_dicts": lambda d: d | {"a": 1},
    "repr_of_dict": lambda d: f"{d} {d!r} {str(d)}",  # noqa: RUF010 - both ways
    "argument_list_with_another": lambda d: (lambda *a: a)(0, *d),
}
SET: dict[str, Callable[[Any], object]] = {
    "tuple_of_set": lambda s: tuple(s),
    "counter_of_set": lambda s: Counter(s),
    "join_of_set": lambda s: "".join(s),
    "min_of_set": lambda s: min(s),
    "fromkeys_of_set_of_own_class": lambda s: dict.fromkeys(iter(s)),
    "argument_list_of_set": lambda s: (lambda *a: a)(*s),
    "itertools_of_set": lambda s: list(itertools.permutations(s, 1)),
    "unpacking_of_set": lambda s: unpack(s),
    "pickle_of_set": lambda s: pickle.dumps(s),
}
SET_IN_ONE_STEP: dict[str, Callable[[Any], object]] = {
    "list_of_set": lambda s: list(s),
    "frozenset_of_set": lambda s: frozenset(s),
    "union_of_sets": lambda s: s | {"a"},
    "subset_of_set": lambda s: s.issubset({"a"}),
    "set_update_with_set": lambda s: set().update(s),
    "sorted_set": lambda s: sorted(s),
}
LIST: dict[str, Callable[[Any], object]] = {
    "set_of_list": lambda x: set(x),
    "count_in_list": lambda x: x.count("a"),
    "index_in_list": lambda x: x.index("a"),
    "counter_of_list": lambda x: Counter(x),
    "deque_extended_by_list": lambda x: deque().extend(x),
    "product_of_lengths": lambda x: math.prod(map(len, x)),
    "sum_of_lengths_in_list": lambda x: sum(map(len, x)),
}
LIST_IN_ONE_STEP: dict[str, Callable[[Any], object]] = {
    "tuple_of_list": lambda x: tuple(x),
    "list_of_list": lambda x: list(x),
    "join_of_list": lambda x: "".join(x),
    "slice_of_list": lambda x: x[1:],
    "equality_of_lists": lambda x: x == ["a"],
    "permutations_of_list": lambda x: list(itertools.permutations(x, 1)),
}
DEQUE: dict[str, Callable[[Any], object]] = {
    "list_of_deque": lambda q: list(q),
    "repr_of_deque": lambda q: repr(q),
    "format_of_deque": lambda q: f"{q}",
    "equality_of_deques": lambda q: q == deque("a"),
}
OWN_DICT: dict[str, Callable[[Any], object]] = {
    "list_of_subclass": lambda d: list(d),
    "sorted_subclass": lambda d: sorted(d),
    "set_of_subclass": lambda d: set(d),
    "json_of_subclass": lambda d: json.dumps(d),
}
OWN_DICT_IN_ONE_STEP: dict[str, Callable[[Any], object]] = {
    "dict_of_subclass": lambda d: dict(d),
    "list_of_items_of_subclass": lambda d: list(d.items()),
    "update_with_subclass": lambda d: {}.update(d),
}


def unpack(x: Any) -> Any:
    try:
        a, b = x
    except ValueError:
        return None
    return a, b


def unpack_star(x: Any) -> Any:
    a, *b = x
    return a, b


def store_slice(x: Any) -> None:
    made: list[Any] = []
    made[:] = x


def match_sequence(x: Any) -> Any:
    match x:
        case [a, *b]:
            return a, b


def some_dict() -> dict[str, str]:
    return {"a": "a", "b": "b"}


for rows, container in (
    (DICT, some_dict),
    (SET, lambda: {"a", "b"}),
    (LIST, lambda: ["a", "b"]),
    (DEQUE, lambda: deque("ab")),
    (OWN_DICT, lambda: OwnDict(some_dict())),
    ({f"{name}_of_ordered_dict": DICT_IN_ONE_STEP[name] for name in ("dict_of_dict", "repr_of_dict")},
     lambda: OrderedDict(some_dict())),
):  # fmt: skip
    for what, consumer in rows.items():
        globals()[f"race_{what}"] = reports("changed-during-iteration")(beside_insertion(consumer, container))

for rows, container in (
    (DICT_IN_ONE_STEP, some_dict),
    (SET_IN_ONE_STEP, lambda: {"a", "b"}),
    (LIST_IN_ONE_STEP, lambda: ["a", "b"]),
    (OWN_DICT_IN_ONE_STEP, lambda: OwnDict(some_dict())),
):
    for what, consumer in rows.items():
        globals()[f"no_race_{what}"] = beside_insertion(consumer, container)


# ---- patterns


@reports("changed-during-iteration", "stale-size")  # the size is read first
def race_sequence_pattern() -> None:
    shared = ["a", "b"]
    run(lambda: match_sequence(shared), lambda: shared.append("c"))


@dataclass
class Point:
    x: int
    y: int


@reports("lost-update")
def race_class_pattern() -> None:
    point = Point(0, 0)

    def move() -> None:
        match point:
            case Point(x):
                point.x = x + 1

    run(move, move)


@reports("lost-update")
def race_class_pattern_by_name() -> None:
    box = Box(n=0)

    def bump() -> None:
        match box:
            case Box(n=n):
                box.n = n + 1

    run(bump, bump)


@reports("check-then-act", "lost-update")
def race_mapping_pattern() -> None:
    counts: dict[str, int] = {"n": 0}

    def bump() -> None:
        match counts:
            case {"n": n}:
                counts["n"] = n + 1

    run(bump, bump)


@reports("stale-size")  # an empty dict fails by its size, before its keys are looked at
def race_mapping_pattern_and_insertion() -> None:
    made: dict[str, object] = {}

    def get() -> None:
        match made:
            case {"it": it}:
                assert it
            case _:
                made["it"] = object()

    run(get, get)


def no_race_patterns_of_other_keys_and_attributes() -> None:
    point, counts = Point(0, 0), {"x": 0, "y": 0}

    def of_x() -> None:
        match point, counts:
            case Point(x=x), {"x": n}:
                point.x, counts["x"] = x + 1, n + 1

    def of_y() -> None:
        match point, counts:
            case Point(y=y), {"y": n}:
                point.y, counts["y"] = y + 1, n + 1

    run(of_x, of_y)


def no_race_arguments_by_name_are_kept_and_not_read() -> None:
    shared: list[str] = []

    def keep() -> None:
        kept = [OrderedDict(it=shared), dict(it=shared), defaultdict(None, it=shared)]  # noqa: C408
        assert kept

    run(keep, lambda: shared.append("a"))
