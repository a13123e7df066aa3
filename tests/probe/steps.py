"""Which consumers go over which containers in one step, found out by trying, without a GIL.

    python -m tests.probe.steps [names]

One thread changes a container to and fro between two states, each time in one step. Another goes over it. If
what that gets is neither the one state nor the other, or raises because the container has changed, then it
was more than one step. A step that is one never gives that; for several steps, it takes some tries.
"""

from __future__ import annotations

import array
import collections
import contextlib
import copy
import functools
import heapq
import io
import itertools
import json
import math
import operator
import pickle
import statistics
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from threadproof.consumers import Containers

SIZE = 4000  # elements: so many take longer than it takes another thread to come in between


class OwnDict(dict[Any, Any]):
    pass


class OwnList(list[Any]):
    pass


class OwnSet(set[Any]):
    pass


class Shared(NamedTuple):
    """A container, and a change to and fro."""

    container: Any
    there: Callable[[], object]
    back: Callable[[], object]


def elements(kind: Callable[[int], Any]) -> list[Any]:
    return [kind(each) for each in range(1, SIZE)]


def shared_list(kind: Callable[[int], Any], cls: type = list) -> Shared:
    made = cls(elements(kind))
    return Shared(made, made.reverse, made.reverse)


def shared_dict(kind: Callable[[int], Any], made: Any) -> Shared:
    made.update({each: each for each in elements(kind)})
    new = kind(SIZE)
    return Shared(made, lambda: made.__setitem__(new, new), lambda: made.__delitem__(new))


def shared_view(kind: Callable[[int], Any], view: str) -> Shared:
    made: dict[Any, Any] = {}
    return shared_dict(kind, made)._replace(container=getattr(made, view)())


def shared_set(kind: Callable[[int], Any], cls: type = set) -> Shared:
    made, new = cls(elements(kind)), kind(SIZE)
    return Shared(made, lambda: made.add(new), lambda: made.discard(new))


def shared_deque(kind: Callable[[int], Any]) -> Shared:
    made, new = collections.deque(elements(kind)), kind(SIZE)
    return Shared(made, lambda: made.append(new), made.pop)


SHARED: dict[str, Callable[[Callable[[int], Any]], Shared]] = {
    "LIST": shared_list,
    "LIST_SUBCLASS": lambda kind: shared_list(kind, OwnList),
    "DICT": lambda kind: shared_dict(kind, {}),
    "DICT_SUBCLASS": lambda kind: shared_dict(kind, collections.defaultdict(int)),
    "SET": shared_set,
    "SET_SUBCLASS": lambda kind: shared_set(kind, OwnSet),
    "KEYS": lambda kind: shared_view(kind, "keys"),
    "VALUES": lambda kind: shared_view(kind, "values"),
    "ITEMS": lambda kind: shared_view(kind, "items"),
    "OrderedDict": lambda kind: shared_dict(kind, collections.OrderedDict()),
    "deque": shared_deque,
}


def of_container(name: str) -> Containers:
    return Containers[name] if name in Containers.__members__ else Containers(0)


# ---- how each consumer is called; what is not here is called with the container alone


def changed(made: Any, method: str, *arguments: Any) -> Any:
    getattr(made, method)(*arguments)
    return made


def changing(make: Callable[[], Any], method: str) -> Callable[[Any], Any]:
    return lambda x: changed(make(), method, x)


def listed(function: Callable[..., Any], *arguments: Any) -> Callable[[Any], Any]:
    return lambda x: list(function(x, *arguments))


def printed(x: Any) -> str:
    file = io.StringIO()
    print(x, file=file)
    return file.getvalue()


def dumped(dump: Any, file: Any, x: Any) -> Any:
    dump(x, file)
    return file.getvalue()


def unpacked(x: Any) -> list[Any]:
    first, *others = x
    return [first, *others]


def taken_apart() -> Callable[[Any], Any]:
    """A function that unpacks into as many names as there are elements."""
    scope: dict[str, Any] = {}
    names = ", ".join(f"a{i}" for i in range(SIZE - 1))
    body = f"    try: {names} = x\n    except ValueError: return len(x)\n    return [{names}]"
    exec(f"def take(x):\n{body}", scope)
    take: Callable[[Any], Any] = scope["take"]
    return take


def stored(x: Any) -> list[Any]:
    made: list[Any] = []
    made[:] = x
    return made


def sliced(x: Any) -> Any:
    if not isinstance(x, list):
        raise TypeError("a dict takes a slice for a key")
    return x[1:]


compared_with: list[tuple[Any, Any]] = []  # a container, and another one that was equal when it was alone


def compared(x: Any) -> bool:
    other = next((other for each, other in compared_with if each is x), None)
    if other is None:
        other = copy.copy(x.mapping).keys() if hasattr(x, "mapping") else type(x)(x)
        compared_with.append((x, other))
    return bool(x == other)


def merged(**named: Any) -> Any:
    return named


def passed(*arguments: Any) -> Any:
    return arguments


BIG = set(range(2 * SIZE))
CALLS: dict[str, Callable[[Any], Any]] = {
    "builtins map": lambda x: list(map(int, x)),
    "builtins filter": lambda x: list(filter(None, x)),
    **{f"builtins {each.__name__}": listed(each) for each in (enumerate, zip, reversed, iter)},
    "builtins print": printed,
    "builtins:list extend": lambda x: changed([], "extend", x),
    "builtins:dict update": lambda x: changed({}, "update", x),
    "builtins:dict fromkeys": dict.fromkeys,
    "builtins:set union": lambda x: set().union(x),
    **{f"builtins:set {name}": changing(set, name) for name in ("update", "symmetric_difference_update")},
    **{f"builtins:set {name}": changing(BIG.copy, name)
       for name in ("difference_update", "intersection_update")},
    **{f"builtins:{cls.__name__} {name}": getattr(cls(BIG), name)
       for cls in (set, frozenset)
       for name in ("difference", "intersection", "symmetric_difference", "issubset", "issuperset")},
    "builtins:set isdisjoint": set().isdisjoint,
    "builtins:frozenset isdisjoint": frozenset().isdisjoint,
    "builtins:frozenset union": lambda x: frozenset().union(x),
    "builtins:str join": lambda x: ",".join(x),
    "builtins:bytes join": lambda x: b",".join(x),
    "builtins:bytearray extend": lambda x: changed(bytearray(), "extend", x),
    "collections:deque extend": lambda x: changed(collections.deque(), "extend", x),
    "collections:deque extendleft": lambda x: changed(collections.deque(), "extendleft", x),
    "collections:Counter update": lambda x: changed(collections.Counter(), "update", x),
    "collections:Counter subtract": lambda x: changed(collections.Counter(), "subtract", x),
    "collections:OrderedDict update": lambda x: changed(collections.OrderedDict(), "update", x),
    "collections defaultdict": lambda x: collections.defaultdict(int, x),
    "array array": lambda x: array.array("l", x),
    "array:array extend": lambda x: changed(array.array("l"), "extend", x),
    "functools reduce": lambda x: functools.reduce(operator.add, x),
    **{f"itertools {name}": listed(getattr(itertools, name))
       for name in ("chain", "accumulate", "pairwise", "product", "zip_longest")},
    "itertools groupby": lambda x: [key for key, _ in itertools.groupby(x)],
    "itertools tee": lambda x: list(itertools.tee(x)[0]),
    "itertools batched": lambda x: list(itertools.batched(x, 3)),  # type: ignore[attr-defined]  # new in 3.12
    "itertools compress": lambda x: list(itertools.compress(x, BIG)),
    "itertools cycle": lambda x: list(itertools.islice(itertools.cycle(x), SIZE)),
    "itertools islice": lambda x: list(itertools.islice(x, SIZE)),
    **{f"itertools {name}": listed(getattr(itertools, name), 1)
       for name in ("combinations", "combinations_with_replacement", "permutations")},
    "itertools takewhile": lambda x: list(itertools.takewhile(bool, x)),
    "itertools dropwhile": lambda x: list(itertools.dropwhile(operator.not_, x)),
    "itertools filterfalse": lambda x: list(itertools.filterfalse(operator.not_, x)),
    "itertools starmap": lambda x: list(itertools.starmap(passed, x)),
    "math sumprod": lambda x: math.sumprod(x, range(len(x))),  # type: ignore[attr-defined]  # 3.12
    "math dist": lambda x: math.dist(x, [0] * len(x)),
    "operator countOf": lambda x: operator.countOf(x, 3),
    "operator indexOf": lambda x: operator.indexOf(x, SIZE - 1),
    "heapq nlargest": lambda x: heapq.nlargest(3, x),
    "heapq nsmallest": lambda x: heapq.nsmallest(3, x),
    "heapq merge": lambda x: list(heapq.merge(x)),
    "json dump": lambda x: dumped(json.dump, io.StringIO(), x),
    "pickle dump": lambda x: dumped(pickle.dump, io.BytesIO(), x),
    "statistics quantiles": lambda x: statistics.quantiles(x, n=4),
    "GET_ITER": lambda x: [each for each in x],  # noqa: C416 - the loop is what is tried
    "GET_YIELD_FROM_ITER": lambda x: list(yielded(x)),
    "UNPACK_SEQUENCE": taken_apart(),
    "UNPACK_EX": unpacked,
    "LIST_EXTEND": lambda x: [*x],
    "SET_UPDATE": lambda x: {*x},
    "DICT_UPDATE": lambda x: {**x},
    "DICT_MERGE": lambda x: merged(**x),
    "CALL_FUNCTION_EX": lambda x: passed(*x),
    "BINARY_SLICE": sliced,
    "STORE_SLICE": stored,
    "BINARY_OP": lambda x: (x + type(x)()) if isinstance(x, list) else (x | type(x)()) if isinstance(x, dict)
        else x - {0},
    "COMPARE_OP": compared,
    "FORMAT_SIMPLE": lambda x: f"{x}",
    "CONVERT_VALUE": lambda x: f"{x!r}",
}  # fmt: skip
OF_WORDS = ("builtins:str join", "builtins:bytes join", "DICT_MERGE")


def yielded(x: Any) -> Iterator[Any]:
    yield from x


def call_of(owner: str, name: str) -> Callable[[Any], Any]:
    """How the consumer is called with one container."""
    if call := CALLS.get(f"{owner} {name}".strip()):
        return call
    module, _, cls = owner.partition(":")
    place = __import__(module)
    function: Callable[[Any], Any] = getattr(getattr(place, cls) if cls else place, name)
    return function


def kind_of(owner: str, name: str) -> Callable[[int], Any]:
    """What the elements are made by."""
    if owner == "builtins:bytes":
        return lambda number: b"%d" % number
    if f"{owner} {name}".strip() in OF_WORDS:
        return str
    return byte if "byte" in owner + name else int


def byte(number: int) -> int:
    return number % 256


class Spinning:
    """A thread that changes the container to and fro while the block runs."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.over, self.begun = shared, False, threading.Event()
        self.thread = threading.Thread(target=self.spin)

    def spin(self) -> None:
        self.begun.set()
        while not self.over:
            self.shared.there()
            self.shared.back()

    def __enter__(self) -> None:
        self.thread.start()
        self.begun.wait()

    def __exit__(self, *error: object) -> None:
        self.over = True
        self.thread.join()


def seen_alone(call: Callable[[Any], Any], shared: Shared) -> list[Any]:
    """What the call gives in either state; nothing if it does not take such a container."""
    try:
        first = call(shared.container)
        shared.there()
        other = call(shared.container)
        shared.back()
        return [first, other] if first == first and other == other else []
    except (TypeError, ValueError, AttributeError, KeyError):
        return []


def tears(call: Callable[[Any], Any], shared: Shared, tries: int) -> bool | None:
    """Whether one of so many calls was seen to be more than one step; None if it takes no such container."""
    whole = seen_alone(call, shared)
    if not whole:
        return None
    with Spinning(shared):
        for _ in range(tries):
            try:
                if call(shared.container) not in whole:
                    return True
            except (RuntimeError, KeyError, ValueError):
                return True
    return False


def main(*only: str) -> None:
    from threadproof.consumers import CONSUMERS, OPCODES

    rows = [(each.owner, name) for each in CONSUMERS for name in each.names.split()]
    for owner, name in [*rows, *(("", name) for name in OPCODES)]:
        if only and not any(each in f"{owner} {name}" for each in only):
            continue
        with contextlib.suppress(AttributeError):
            kind = kind_of(owner, name)
            found = {of: tears(call_of(owner, name), SHARED[of](kind), 300) for of in SHARED}
            print(f"{owner} {name}:", *(of for of, torn in found.items() if torn is False), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
