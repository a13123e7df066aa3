"""Random calls for every operation of a map, in mixes that make threads collide.

A *round* is a few calls for each of a few threads, made together and checked together. A *plan* is many
rounds, made up before any of them runs, so that the threads only have to make the calls.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from itertools import count
from operator import methodcaller
from random import Random
from typing import Any, Final

from tests.kit.hammer import pause
from tests.kit.hostile import Boom
from tests.kit.linearize import Call, Model
from tests.maps.model import per_key, whole_map
from threadproof import REMOVE


@dataclass(frozen=True)
class Becomes:
    """A user function: replaces any value by this one."""

    value: Any

    def __call__(self, *given: Any) -> Any:
        return self.value


@dataclass(frozen=True)
class Grows:
    """A user function: adds this to its first argument."""

    by: int

    def __call__(self, *given: Any) -> Any:
        return given[0] + self.by


@dataclass(frozen=True)
class Fails:
    """A user function that raises."""

    def __call__(self, *given: Any) -> Any:
        raise Boom


@dataclass(frozen=True)
class Yielding:
    """A key with few hashes that lets other threads run whenever it is compared."""

    number: int

    def __hash__(self) -> int:
        return self.number % 2

    def __eq__(self, other: object) -> bool:
        pause()
        return isinstance(other, Yielding) and self.number == other.number


Kind = Callable[[int], Hashable]

KINDS: Final[tuple[Kind, ...]] = (int, str, float, lambda n: (n, n), lambda n: n << 70, Yielding)
"""Makers of keys: a new object for each use, equal where the number is."""


@dataclass(frozen=True)
class Mix:
    """Which operations, how often, on how many keys, by how many threads; and the map around them.

    shared: so many rounds in a row work on one map, each on keys of its own, so that the map is larger.
    churn: how many keys of its own a thread may store at once and later delete, between its calls.
    """

    name: str
    operations: Mapping[str, int]  # name -> weight
    model: Model
    keys: int
    calls: int  # of each thread in a round
    shared: int = 1
    churn: tuple[int, ...] = ()
    threads: tuple[int, ...] = (2, 3, 4)


@dataclass
class Round:
    """The choices of one round: its keys, and the values that are stored in it."""

    random: Random
    kind: Kind
    numbers: range
    fresh: Callable[[], int]
    stored: list[int] = field(default_factory=list)

    def key(self) -> Hashable:
        return self.kind(self.random.choice(self.numbers))

    def keys(self) -> list[Hashable]:
        many = self.random.randint(1, len(self.numbers))
        return [self.kind(number) for number in self.random.sample(self.numbers, many)]

    def value(self) -> int:
        """One that no other call stores, so that a result identifies the call that stored it."""
        self.stored.append(self.fresh() * 1000)
        return self.stored[-1]

    def values(self, keys: list[Hashable]) -> list[int]:
        return [self.value() for _ in keys]

    def expected(self) -> int:
        """One that is probably in the map."""
        return self.random.choice(self.stored or [0])

    def maker(self) -> Callable[..., Any]:
        """A function of anything."""
        return self.random.choice((Becomes(self.value()), Becomes(REMOVE), Fails()))

    def changer(self) -> Callable[..., Any]:
        """A function of a value."""
        return self.random.choice((self.maker(), Grows(self.value())))


def call(name: str, *args: Any) -> Call:
    return Call(name, args, methodcaller(name, *args))


def watched(name: str, *args: Any) -> Call:
    """The call of an operation that takes a function; the result has the arguments of each call of it."""

    def do(target: Any) -> tuple[Any, tuple[Any, ...]]:
        given: list[tuple[Any, ...]] = []
        arguments = [_watch(each, given) if callable(each) else each for each in args]
        try:
            result = getattr(target, name)(*arguments)
        except Boom:
            result = Boom
        return result, tuple(given)

    return Call(name, args, do)


def _watch(function: Callable[..., Any], given: list[tuple[Any, ...]]) -> Callable[..., Any]:
    def watching(*args: Any) -> Any:
        given.append(args)
        pause()
        return function(*args)

    return watching


def _set_many(r: Round) -> Call:
    keys = r.keys()
    return call("set_many", keys, r.values(keys))


def _update(r: Round) -> Call:
    keys = r.keys()
    return call("update", dict(zip(keys, r.values(keys), strict=True)))


def _pop(r: Round) -> Call:
    return call("pop", r.key(), *r.random.choice(((), (0,))))


MAKERS: Final[dict[str, Callable[[Round], Call]]] = {
    "__getitem__": lambda r: call("__getitem__", r.key()),
    "get": lambda r: call("get", r.key(), r.fresh()),
    "__contains__": lambda r: call("__contains__", r.key()),
    "__setitem__": lambda r: call("__setitem__", r.key(), r.value()),
    "__delitem__": lambda r: call("__delitem__", r.key()),
    "pop": _pop,
    "popitem": lambda r: call("popitem"),
    "setdefault": lambda r: call("setdefault", r.key(), r.value()),
    "update": _update,
    "swap": lambda r: call("swap", r.key(), r.value(), r.fresh()),
    "compare_and_swap": lambda r: call("compare_and_swap", r.key(), r.expected(), r.value()),
    "compare_and_delete": lambda r: call("compare_and_delete", r.key(), r.expected()),
    "add": lambda r: call("add", r.key(), r.fresh(), r.value()),
    "compute": lambda r: watched("compute", r.key(), r.changer(), 0),
    "compute_if_absent": lambda r: watched("compute_if_absent", r.key(), r.maker()),
    "compute_if_present": lambda r: watched("compute_if_present", r.key(), r.changer()),
    "merge": lambda r: watched("merge", r.key(), r.value(), r.changer()),
    "get_many": lambda r: call("get_many", r.keys(), r.fresh()),
    "set_many": _set_many,
    "delete_many": lambda r: call("delete_many", r.keys()),
    "count_many": lambda r: call("count_many", r.keys(), r.fresh()),
    "__len__": lambda r: call("__len__"),
    "clear": lambda r: call("clear"),
    "drain": lambda r: call("drain"),
    "snapshot": lambda r: call("snapshot"),
}

Programs = list[list[Call]]
"""What each thread does in one round."""


def make_plan(mix: Mix, random: Random, rounds: int) -> list[Programs]:
    """Rounds for some number of threads. No two rounds have a key or a stored value in common."""
    fresh = count(1).__next__
    threads = random.choice(mix.threads)
    return [_make_round(mix, random, threads, fresh) for _ in range(rounds)]


def _make_round(mix: Mix, random: Random, threads: int, fresh: Callable[[], int]) -> Programs:
    first = fresh() * mix.keys
    here = Round(random, random.choice(KINDS), range(first, first + mix.keys), fresh)
    names = random.choices(list(mix.operations), list(mix.operations.values()), k=threads * mix.calls)
    calls = [MAKERS[name](here) for name in names]
    return [_with_churn(mix, random, fresh, calls[thread::threads]) for thread in range(threads)]


def _with_churn(mix: Mix, random: Random, fresh: Callable[[], int], calls: list[Call]) -> list[Call]:
    """The calls, with many other keys stored somewhere before the middle and deleted somewhere after it."""
    if not mix.churn:
        return calls
    keys = tuple(-fresh() for _ in range(random.choice(mix.churn)))
    fill = Call("fill", (keys,), methodcaller("set_many", keys, keys))
    empty = Call("empty", (keys,), methodcaller("delete_many", keys))
    calls.insert(random.randint(0, len(calls) // 2), fill)
    calls.insert(random.randint(len(calls) // 2 + 1, len(calls)), empty)
    return calls


ON_ONE_KEY: Final = {
    "__getitem__": 3, "get": 3, "__contains__": 2, "__setitem__": 3, "__delitem__": 2, "pop": 2,
    "setdefault": 2, "swap": 2, "compare_and_swap": 3, "compare_and_delete": 2, "add": 2,
    "compute": 2, "compute_if_absent": 2, "compute_if_present": 2, "merge": 2,
}  # fmt: skip
ON_MANY_KEYS: Final = {"get_many": 2, "set_many": 1, "update": 1, "delete_many": 1, "count_many": 1}
ON_THE_MAP: Final = {"__len__": 6, "snapshot": 6, "clear": 4, "drain": 4, "popitem": 4}

MIXES: Final = (
    Mix("hot keys", {**ON_ONE_KEY, **ON_MANY_KEYS}, per_key, keys=2, calls=8),
    Mix("resize", {**ON_ONE_KEY, **ON_MANY_KEYS}, per_key, keys=3, calls=8, shared=20, churn=(5, 20, 80)),
    Mix("whole map", {**ON_ONE_KEY, **ON_MANY_KEYS, **ON_THE_MAP}, whole_map, keys=3, calls=4),
)
