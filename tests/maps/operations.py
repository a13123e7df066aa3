"""The operations on one key, in tables, for the claims that hold of each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from threadproof import REMOVE
from threadproof.maps import ConcurrentMap

Map: TypeAlias = ConcurrentMap[Any, Any]

ABSENT = object()

# Each returns what it found.
READS: dict[str, Callable[[Map, Any], Any]] = {
    "[]": lambda m, key: m[key],
    "get": lambda m, key: m.get(key, ABSENT),
    "get_many": lambda m, key: m.get_many([key], ABSENT)[0],
    "in": lambda m, key: key in m,
    "in keys": lambda m, key: key in m.keys(),  # noqa: SIM118  # the view is meant
    "in items": lambda m, key: (key, ABSENT) in m.items(),
}

# Each stores a value if there was none, and returns whether it stored it.
STORES: dict[str, Callable[[Map, Any, Any], bool]] = {
    "swap": lambda m, key, value: m.swap(key, value, ABSENT) is ABSENT,
    "setdefault": lambda m, key, value: m.setdefault(key, value) is value,
    "compute": lambda m, key, value: (
        m.compute(key, lambda old: value if old is ABSENT else old, ABSENT) is value
    ),
    "compute_if_absent": lambda m, key, value: m.compute_if_absent(key, lambda key: value) is value,
    "merge": lambda m, key, value: m.merge(key, value, lambda old, new: old) is value,
}

# Each replaces the old value by a new one, and returns whether it replaced it.
REPLACEMENTS: dict[str, Callable[[Map, Any, Any, Any], bool]] = {
    "swap": lambda m, key, old, new: m.swap(key, new) is old,
    "compare_and_swap": lambda m, key, old, new: m.compare_and_swap(key, old, new),
    "compute": lambda m, key, old, new: m.compute(key, lambda now: new if now is old else now) is new,
    "compute_if_present": lambda m, key, old, new: (
        m.compute_if_present(key, lambda now: new if now is old else now) is new
    ),
    "merge": lambda m, key, old, new: (
        m.merge(key, new, lambda now, value: value if now is old else now) is new
    ),
}


def _delete(m: Map, key: Any, old: Any) -> bool:
    try:
        del m[key]
    except KeyError:
        return False
    return True


def _compute_away(m: Map, key: Any, old: Any) -> bool:
    found: list[Any] = []

    def away(value: Any) -> Any:
        found.append(value)
        return REMOVE

    m.compute(key, away, ABSENT)
    return found == [old]


# Each removes a key with its old value, and returns whether it removed it.
REMOVALS: dict[str, Callable[[Map, Any, Any], bool]] = {
    "del": _delete,
    "pop": lambda m, key, old: m.pop(key, ABSENT) is old,
    "compare_and_delete": lambda m, key, old: m.compare_and_delete(key, old),
    "delete_many": lambda m, key, old: m.delete_many([key]) == 1,
    "compute": _compute_away,
}

# Each writes, for present and absent keys.
WRITES: dict[str, Callable[[Map, Any], Any]] = {
    "[]=": lambda m, key: m.__setitem__(key, 1),
    "del": lambda m, key: m.__delitem__(key),
    "pop": lambda m, key: m.pop(key, None),
    "swap": lambda m, key: m.swap(key, 1),
    "compare_and_swap": lambda m, key: m.compare_and_swap(key, None, 1, equal=lambda current, expected: True),
    "compare_and_delete": lambda m, key: m.compare_and_delete(
        key, None, equal=lambda current, expected: True
    ),
    "compute": lambda m, key: m.compute(key, lambda old: 1),
    "merge": lambda m, key: m.merge(key, 1, lambda old, value: 1),
    "add": lambda m, key: m.add(key),
    "set_many": lambda m, key: m.set_many([key], [1]),
    "delete_many": lambda m, key: m.delete_many([key]),
    "count_many": lambda m, key: m.count_many([key]),
    "update": lambda m, key: m.update({key: 1}),
    "|=": lambda m, key: m.__ior__([(key, 1)]),
}

# Each writes if the key is absent; otherwise it is a read.
WRITES_IF_ABSENT: dict[str, Callable[[Map, Any], Any]] = {
    "setdefault": lambda m, key: m.setdefault(key, 1),
    "compute_if_absent": lambda m, key: m.compute_if_absent(key, lambda key: 1),
}

# Each writes if the key is present; otherwise it has the effect of a read.
WRITES_IF_PRESENT: dict[str, Callable[[Map, Any], Any]] = {
    "compute_if_present": lambda m, key: m.compute_if_present(key, lambda old: 1),
}

EVERY: dict[str, Callable[[Map, Any], Any]] = {**READS, **WRITES, **WRITES_IF_ABSENT, **WRITES_IF_PRESENT}
