"""The sequential specification of every operation of a map, as plain functions.

An operation on one key is a function (stored value, *arguments) -> (result, value stored afterwards). An
operation on the whole map is the same with the contents as a dict. An operation on many keys, each of which
is a step of its own, is divided into operations on one key. From these, two models for
`tests.kit.linearize`: `per_key`, which checks each key apart and can follow large maps, and `whole_map`,
which also judges `len`, `clear`, `drain`, `snapshot`.
"""

from collections.abc import Callable, Hashable, Iterator
from enum import Enum
from typing import Any, Final
from unittest.mock import ANY

from tests.kit.hostile import Boom
from tests.kit.linearize import REFUSED, Model, Operation
from threadproof import REMOVE


class Absent(Enum):
    """The stored value of an absent key."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.value


ABSENT: Final = Absent.ABSENT

Outcome = tuple[Any, Any]  # the result, or the type of the exception; and what is stored afterwards


def _or(old: Any, default: Any) -> Any:
    return default if old is ABSENT else old


def _getitem(old: Any, key: Any) -> Outcome:
    return _or(old, KeyError), old


def _get(old: Any, key: Any, default: Any = None) -> Outcome:
    return _or(old, default), old


def _contains(old: Any, key: Any) -> Outcome:
    return old is not ABSENT, old


def _setitem(old: Any, key: Any, value: Any) -> Outcome:
    return None, value


def _delitem(old: Any, key: Any) -> Outcome:
    return KeyError if old is ABSENT else None, ABSENT


def _pop(old: Any, key: Any, default: Any = KeyError) -> Outcome:
    return _or(old, default), ABSENT


def _delete(old: Any, key: Any) -> Outcome:
    """One key's share of delete_many."""
    return old is not ABSENT, ABSENT


def _fill(old: Any, keys: tuple[Any, ...]) -> Outcome:
    """Storing keys that only one thread uses: in the model they are one key, whose value is their number."""
    return None, len(keys)


def _empty(old: Any, keys: tuple[Any, ...]) -> Outcome:
    """Deleting such keys."""
    return old, ABSENT


def _setdefault(old: Any, key: Any, default: Any = None) -> Outcome:
    return _or(old, default), _or(old, default)


def _swap(old: Any, key: Any, value: Any, default: Any = None) -> Outcome:
    return _or(old, default), value


def _compare_and_swap(old: Any, key: Any, expected: Any, new: Any) -> Outcome:
    return old == expected, new if old == expected else old


def _compare_and_delete(old: Any, key: Any, expected: Any) -> Outcome:
    return _compare_and_swap(old, key, expected, ABSENT)


def _add(old: Any, key: Any, delta: Any = 1, initial: Any = 0) -> Outcome:
    new = _or(old, initial) + delta
    return new, new


def _compute(old: Any, key: Any, fn: Callable[..., Any], default: Any = None) -> Outcome:
    return _computed(old, fn, _or(old, default), removed=default)


def _compute_if_absent(old: Any, key: Any, fn: Callable[..., Any]) -> Outcome:
    return _computed(old, fn, key) if old is ABSENT else ((old, ()), old)


def _compute_if_present(old: Any, key: Any, fn: Callable[..., Any]) -> Outcome:
    return ((None, ()), old) if old is ABSENT else _computed(old, fn, old)


def _merge(old: Any, key: Any, value: Any, fn: Callable[..., Any]) -> Outcome:
    return ((value, ()), value) if old is ABSENT else _computed(old, fn, old, value)


def _computed(old: Any, fn: Callable[..., Any], *given: Any, removed: Any = None) -> Outcome:
    """The result is a pair: what the call returned or raised, and the arguments of each call of fn: one."""
    try:
        new = fn(*given)
    except Boom:
        return (Boom, (given,)), old
    return ((removed, (given,)), ABSENT) if new is REMOVE else ((new, (given,)), new)


ON_ONE_KEY: Final[dict[str, Callable[..., Outcome]]] = {
    "__getitem__": _getitem,
    "get": _get,
    "__contains__": _contains,
    "__setitem__": _setitem,
    "__delitem__": _delitem,
    "pop": _pop,
    "delete": _delete,
    "fill": _fill,
    "empty": _empty,
    "setdefault": _setdefault,
    "swap": _swap,
    "compare_and_swap": _compare_and_swap,
    "compare_and_delete": _compare_and_delete,
    "add": _add,
    "compute": _compute,
    "compute_if_absent": _compute_if_absent,
    "compute_if_present": _compute_if_present,
    "merge": _merge,
}

ON_THE_MAP: Final[dict[str, Callable[[dict[Any, Any]], Outcome]]] = {
    "__len__": lambda contents: (len(contents), contents),
    "snapshot": lambda contents: (contents, contents),
    "clear": lambda contents: (None, {}),
    "drain": lambda contents: (contents, {}),
    "popitem": lambda contents: (None if contents else KeyError, contents),  # that raised; else: ON_MANY_KEYS
}

_Pieces = Iterator[tuple[str, tuple[Any, ...], Any]]


def _get_many(result: Any, keys: Any, default: Any = None) -> _Pieces:
    return (("get", (key, default), each) for key, each in zip(keys, result, strict=True))


def _set_many(result: Any, keys: Any, values: Any) -> _Pieces:
    return (("__setitem__", pair, result) for pair in zip(keys, values, strict=True))


def _update(result: Any, other: Any) -> _Pieces:
    return (("__setitem__", pair, result) for pair in other.items())


def _delete_many(result: Any, keys: Any) -> _Pieces:
    """The count says which keys were there only when none or all of them were."""
    share = ANY if 0 < result < len(keys) else result > 0
    return (("delete", (key,), share) for key in keys)


def _count_many(result: Any, keys: Any, delta: Any = 1) -> _Pieces:
    return (("add", (key, delta), ANY) for key in keys)


def _popitem(result: Any) -> _Pieces:
    yield "pop", result[:1], result[1]


ON_MANY_KEYS: Final[dict[str, Callable[..., _Pieces]]] = {
    "get_many": _get_many,
    "set_many": _set_many,
    "update": _update,
    "delete_many": _delete_many,
    "count_many": _count_many,
    "popitem": _popitem,
}

READS: Final = frozenset(["__getitem__", "get", "__contains__", "__len__", "snapshot"])


def pieces(operation: Operation) -> Iterator[Operation]:
    """The operation as operations on one key, where it is one on many of which each counts on its own."""
    cut = ON_MANY_KEYS.get(operation.name)
    if cut is None or operation.result is KeyError:
        yield operation
    else:
        for name, args, result in cut(operation.result, *operation.args):
            yield operation._replace(name=name, args=args, result=result)


def _step_of_key(state: Any, operation: Operation) -> Any:
    result, after = ON_ONE_KEY[operation.name](state, *operation.args)
    return after if result == operation.result else REFUSED


def _step_of_map(state: frozenset[tuple[Any, Any]], operation: Operation) -> Any:
    contents = dict(state)
    if operation.name in ON_THE_MAP:
        result, contents = ON_THE_MAP[operation.name](contents)
    else:
        key = operation.args[0]
        result, after = ON_ONE_KEY[operation.name](contents.pop(key, ABSENT), *operation.args)
        contents |= {} if after is ABSENT else {key: after}
    return frozenset(contents.items()) if result == operation.result else REFUSED


def _parts_by_key(operation: Operation) -> Iterator[tuple[Hashable, Operation]]:
    return ((piece.args[0], piece) for piece in pieces(operation))


def _parts_of_map(operation: Operation) -> Iterator[tuple[Hashable, Operation]]:
    return (("the map", piece) for piece in pieces(operation))


per_key: Final = Model(ABSENT, _step_of_key, _parts_by_key, READS)
whole_map: Final = Model(frozenset(), _step_of_map, _parts_of_map, READS)
