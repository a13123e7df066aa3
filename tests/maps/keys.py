"""Keys for tests of maps: with chosen hashes, and with methods that raise or call a given function."""

from __future__ import annotations

from collections.abc import Callable

HASHES: dict[str, Callable[[int], int]] = {
    "good hash": hash,
    "truncated hash": lambda number: number & 7,
    "same hash": lambda number: 0,
}


class Key:
    """Equal to keys of the same number; its hash is chosen."""

    def __init__(self, number: int, code: int = 0) -> None:
        self.number = number
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.number == other.number

    def __hash__(self) -> int:
        return self.code

    def __repr__(self) -> str:
        return f"Key({self.number})"


class Broken(Exception):
    """The exception of a RaisingKey."""


class RaisingKey(Key):
    """A key that raises Broken from the methods named in `raises`, at first from none."""

    raises = ""

    def __eq__(self, other: object) -> bool:
        if "eq" in self.raises:
            raise Broken("eq")
        return super().__eq__(other)

    def __hash__(self) -> int:
        if "hash" in self.raises:
            raise Broken("hash")
        return super().__hash__()


class Runs:
    """A key that calls a function the first time it is hashed."""

    def __init__(self, fn: Callable[[], object]) -> None:
        self.fn: Callable[[], object] | None = fn

    def __hash__(self) -> int:
        fn, self.fn = self.fn, None
        if fn is not None:
            fn()
        return 1
