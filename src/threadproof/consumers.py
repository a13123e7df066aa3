"""Which of CPython's code goes over a container in one step, and which item by item: a table.

`list(d)` copies a dict under the dict's own lock; `set(d.keys())` asks an iterator for one key after another,
and raises RuntimeError if another thread inserts meanwhile. Neither is in the language's definition. The rows
are derived from CPython's source (what each function locks, and for which exact types it has a path of its
own) and from the experiment that tests/probe/test_consumers.py repeats for every row, on every supported
version. They describe the free-threaded build. With the GIL, C code that runs no Python code in between is
one step as well; but that is an accident of that build, and no row relies on it.

What is in no row of ours takes item by item: a loop, a comprehension, and C code that we do not know.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple


class Containers(IntFlag):
    """What is gone over, by its exact type; `_core.probe.CONTAINERS` is the same. Others have no bit."""

    LIST = 1
    LIST_SUBCLASS = 2
    DICT = 4
    DICT_SUBCLASS = 8  # that iterates as dict does: defaultdict and Counter, not OrderedDict
    SET = 16  # frozenset, too
    SET_SUBCLASS = 32
    KEYS = 64  # of any dict but an OrderedDict, and so the next two
    VALUES = 128
    ITEMS = 256


NONE = Containers(0)
LISTS = Containers.LIST | Containers.LIST_SUBCLASS
DICTS = Containers.DICT | Containers.DICT_SUBCLASS
SETS = Containers.SET | Containers.SET_SUBCLASS
COPY = (
    Containers.LIST
    | Containers.DICT
    | Containers.SET
    | Containers.KEYS
    | Containers.VALUES
    | Containers.ITEMS
)  # list_extend()
MERGE = Containers.DICT | SETS  # set_update_internal()
OWN_LOCK = LISTS | DICTS | SETS  # the whole call holds the argument's own lock; a view's is not its dict's
SHOWN = OWN_LOCK | Containers.KEYS | Containers.VALUES | Containers.ITEMS


class Consumer(NamedTuple):
    """Functions, types or methods of one owner, "module" or "module:Type"; names are separated by blanks."""

    owner: str
    names: str
    one_step: Containers = NONE  # the containers that these go over in one step
    first: int = 0  # the first argument that is gone over, without self; all that follow are, too

    @property
    def module(self) -> str:
        return self.owner.partition(":")[0]


CONSUMERS = (
    Consumer("builtins", "list sorted", COPY),
    Consumer("builtins", "tuple", Containers.LIST),
    Consumer("builtins", "set frozenset", MERGE),
    Consumer("builtins", "dict", DICTS),
    Consumer("builtins", "bytes bytearray"),
    Consumer("builtins", "str repr print ascii format", SHOWN),
    Consumer("builtins", "sum min max any all next aiter anext"),
    Consumer("builtins", "enumerate zip filter reversed iter"),
    Consumer("builtins", "map", first=1),
    Consumer("builtins:list", "extend", COPY),
    Consumer("builtins:dict", "update", DICTS),
    Consumer("builtins:dict", "fromkeys", Containers.DICT | Containers.SET),
    Consumer("builtins:set", "update union symmetric_difference_update", MERGE),
    Consumer("builtins:set", "difference_update intersection_update", OWN_LOCK),
    Consumer("builtins:set", "difference intersection symmetric_difference", OWN_LOCK),
    Consumer("builtins:set", "isdisjoint issubset issuperset", OWN_LOCK),
    Consumer("builtins:frozenset", "union", MERGE),
    Consumer("builtins:frozenset", "difference intersection symmetric_difference", OWN_LOCK),
    Consumer("builtins:frozenset", "isdisjoint issubset issuperset", OWN_LOCK),
    Consumer("builtins:str", "join", Containers.LIST),
    Consumer("builtins:bytes", "join"),
    Consumer("builtins:bytearray", "extend"),
    Consumer("collections", "deque"),
    Consumer("collections:deque", "extend extendleft"),
    Consumer("collections", "Counter", DICTS),  # an empty one takes a mapping by dict.update()
    Consumer("collections:Counter", "update", DICTS),
    Consumer("collections:Counter", "subtract"),
    Consumer("collections", "OrderedDict", Containers.DICT),
    Consumer("collections:OrderedDict", "update", Containers.DICT),
    Consumer("collections", "defaultdict", DICTS, first=1),
    Consumer("collections", "UserList", COPY),
    Consumer("collections", "UserDict"),
    Consumer("array", "array", first=1),
    Consumer("array:array", "extend"),
    Consumer("functools", "reduce", first=1),
    Consumer("itertools", "chain accumulate batched compress cycle groupby islice pairwise tee zip_longest"),
    Consumer("itertools", "dropwhile filterfalse starmap takewhile", first=1),
    Consumer("itertools", "combinations combinations_with_replacement permutations product", Containers.LIST),
    Consumer("math", "fsum prod sumprod"),
    Consumer("math", "dist", Containers.LIST),
    Consumer("operator", "countOf indexOf"),
    Consumer("heapq", "nlargest nsmallest", first=1),
    Consumer("heapq", "merge"),
    # a subclass is copied by its own method, in one step (defaultdict), or by __reduce_ex__(), which is not
    Consumer("copy", "copy", Containers.LIST | DICTS | Containers.SET),
    Consumer("copy", "deepcopy", Containers.SET),
    Consumer("json", "dump dumps"),  # dumps() holds a dict's lock, and gives it up when its thread detaches
    Consumer("pickle", "dumps dump", Containers.DICT),
    Consumer("statistics", "mean fmean geometric_mean harmonic_mean mode multimode"),
    Consumer("statistics", "pstdev pvariance stdev variance"),
    Consumer("statistics", "median median_low median_high median_grouped quantiles", COPY),
)

# The same for instructions that take a container apart, or two together.
OPCODES = {
    "GET_ITER": NONE,
    "GET_YIELD_FROM_ITER": NONE,
    "UNPACK_SEQUENCE": NONE,
    "UNPACK_EX": NONE,
    "LIST_EXTEND": COPY,
    "SET_UPDATE": MERGE,
    "DICT_UPDATE": DICTS,
    "DICT_MERGE": DICTS,
    "CALL_FUNCTION_EX": Containers.LIST,
    "BINARY_SLICE": LISTS,
    "STORE_SLICE": Containers.LIST,  # of what is stored
    "BINARY_OP": OWN_LOCK | Containers.KEYS,  # as its left operand
    "COMPARE_OP": OWN_LOCK,
    "FORMAT_SIMPLE": SHOWN,
    "CONVERT_VALUE": SHOWN,
}


def named_in(owner: str) -> list[str]:
    """The names in the rows of one owner."""
    return [name for each in CONSUMERS if each.owner == owner for name in each.names.split()]


def one_step(owner: str, name: str) -> Containers:
    """The containers that owner.name goes over in one step; none if it is in no row."""
    return next(
        (each.one_step for each in CONSUMERS if each.owner == owner and name in each.names.split()), NONE
    )
