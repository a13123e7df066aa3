"""Checks of the arguments of a map's methods. Native maps call the same functions: see provide()."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NoReturn

from threadproof._core import is_async, provide

ASYNC: Final = (
    "an async one returns a coroutine, and only the first that reads it from the map could await it; store a "
    "task or a future, or await first and store the result"
)
WANTED: Final = {
    "compute": ("fn(old) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "compute_if_absent": ("fn(key) -> value", "to store a value as it is, call setdefault()"),
    "compute_if_present": ("fn(old) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "merge": ("fn(old, value) -> new", "to delete a key, return threadproof.REMOVE from fn"),
    "compare_and_swap": ("equal(current, expected) -> bool", "without it, identity and == decide"),
    "compare_and_delete": ("equal(current, expected) -> bool", "without it, identity and == decide"),
}


def check_function(owner: object, method: str, fn: object) -> None:
    """TypeError for an object that cannot be called, and for one with a result that is no value."""
    signature, way_out = WANTED[method]
    if not callable(fn):
        raise TypeError(f"{called(owner, method)} wants {signature}, got {type(fn).__name__}; {way_out}")
    if is_async(fn):
        raise TypeError(f"{called(owner, method)} wants a plain {signature}, got {fn!r}: {ASYNC}")
    if method == "compute_if_absent" and isinstance(fn, type) and fn in CONTAINERS:
        name, empty = fn.__name__, CONTAINERS[fn]
        raise TypeError(
            f"{called(owner, method)} wants {signature}, and {name}(key) would take the key apart; "
            f"for an empty {name}, pass lambda key: {empty}"
        )


CONTAINERS: Final[dict[object, str]] = {list: "[]", dict: "{}", set: "set()"}


def check_lengths(owner: object, keys: int, values: int) -> None:
    """ValueError for a different number of keys and values."""
    if keys != values:
        raise ValueError(
            f"{called(owner, 'set_many')} wants a value for each key, got {keys} keys and {values} values"
        )


provide("check_function", check_function)
provide("check_lengths", check_lengths)


def called(owner: object, method: str) -> str:
    return f"{type(owner).__name__}.{method}()"


def pairs_of(owner: object, other: Any) -> Iterable[tuple[Any, Any]]:
    """The pairs of an argument of `update`: a mapping, an object with keys() and [], or pairs."""
    if isinstance(other, Mapping):
        return other.items()
    if isinstance(other, type) or not (
        hasattr(other, "__iter__") or hasattr(other, "__getitem__") or hasattr(other, "keys")
    ):
        _refuse_other(owner, other)
    if hasattr(other, "keys"):
        return ((key, other[key]) for key in other.keys())  # noqa: SIM118  # it has keys(), and perhaps no iter()
    return checked_pairs(owner, other)


def _refuse_other(owner: object, other: object) -> NoReturn:
    got = repr(other) if isinstance(other, type) else type(other).__name__
    hint = "; for a value made on demand, call compute_if_absent(key, fn)" if callable(other) else ""
    raise TypeError(f"{type(owner).__name__} wants a mapping, or pairs (key, value), got {got}{hint}")


def checked_pairs(owner: object, items: Iterable[Any], first: int = 0) -> Iterator[tuple[Any, Any]]:
    """The items from the first on, each of which must be a pair."""
    for place, item in enumerate(islice(items, first, None), first):
        try:
            key, value = item
        except (TypeError, ValueError) as error:
            _refuse_pair(owner, place, item, error)
        yield key, value


def _refuse_pair(owner: object, place: int, item: object, error: Exception) -> NoReturn:
    refusal = TypeError if isinstance(error, TypeError) else ValueError
    raise refusal(
        f"{called(owner, 'update')} wants pairs (key, value), but element {place} is {item!r}"
    ) from error


def identical_or_equal(value: object, expected: object) -> bool:
    """The default comparison of values: an object is equal to itself, even NaN."""
    return bool(value is expected or value == expected)
