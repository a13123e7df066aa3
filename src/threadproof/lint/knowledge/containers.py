"""Containers: their types, what their methods do, and which operations are one atomic step.

Which function goes over a container in one step is the table of `threadproof.consumers`, which tests try on
every interpreter. A method of one built-in container is one step, if it runs no Python code: see "Thread
Safety Guarantees" in CPython's documentation (library/threadsafety).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Final

from threadproof.consumers import CONSUMERS, NONE, Containers

DICT: Final = frozenset(
    {
        "dict",
        "builtins.dict",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "collections.UserDict",
        "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary",
        "typing.Dict",
        "typing.DefaultDict",
        "typing.MutableMapping",
        "collections.abc.MutableMapping",
    }
)
SET: Final = frozenset({"set", "builtins.set", "weakref.WeakSet", "typing.Set", "typing.MutableSet"})
LIST: Final = frozenset({"list", "builtins.list", "typing.List"})
DEQUE: Final = frozenset({"collections.deque", "typing.Deque"})

# Names that modules for several versions of Python pass on as their own.
PASSED_ON: Final = {
    "WeakSet": "set",
    "WeakKeyDictionary": "dict",
    "WeakValueDictionary": "dict",
    "OrderedDict": "dict",
    "defaultdict": "dict",
}
# Accesses that one kind of container has alone.
TELLING: Final = (
    ("dict", frozenset({"setdefault", "popitem", "items", "values", "keys", "itervalues", "iteritems"})),
    ("set", frozenset({"discard", "difference_update"})),
    ("deque", frozenset({"appendleft", "popleft"})),
)

# Types made to be shared: every method is one step, or takes a lock of its own.
SAFE: Final = frozenset(
    {
        "queue.Queue",
        "queue.SimpleQueue",
        "queue.LifoQueue",
        "queue.PriorityQueue",
        "threading.local",
        "threading.Event",
        "contextvars.ContextVar",
        "multiprocessing.Queue",
        "itertools.count",
        "threadproof.HashMap",
        "threadproof.SyncMap",
        "threadproof.ShardedMap",
        "threadproof.SnapshotMap",
        "threadproof.LockedMap",
        "threadproof.Cache",
        "threadproof.sync.AtomicInt",
        "threadproof.sync.AtomicReference",
    }
)

# What a method does to the container it is called on.
READS: Final = frozenset(
    {"get", "keys", "values", "items", "copy", "index", "count", "issubset", "isdisjoint"}
)
ADDS: Final = frozenset(
    {"setdefault", "update", "add", "append", "appendleft", "extend", "extendleft", "insert"}
)
REMOVES: Final = frozenset({"pop", "popitem", "popleft", "remove", "discard", "clear", "difference_update"})
REORDERS: Final = frozenset({"move_to_end", "sort", "reverse", "rotate"})
METHODS: Final = READS | ADDS | REMOVES | REORDERS

# Kinds of access (see facts.model.Access) by what they do.
SIZE_CHANGES: Final = ADDS | REMOVES | {"setitem", "delitem", "augmentitem"}
CHANGES: Final = SIZE_CHANGES | REORDERS
REBINDS: Final = frozenset({"write", "augment", "delete"})
WRITES: Final = CHANGES | REBINDS

# Functions that only ask a container for its size.
SIZES: Final = {"builtins.len": "len", "builtins.bool": "truth"}
# Functions that go over their first argument, and which containers they take in one step.
GOES_OVER: Final = {
    f"{each.owner}.{name}": each.one_step
    for each in CONSUMERS
    if ":" not in each.owner and each.first == 0
    for name in each.names.split()
    if name not in ("next", "iter", "anext", "aiter")  # one item, or none yet
}
VIEW_BITS: Final = {
    "keys": Containers.KEYS,
    "values": Containers.VALUES,
    "items": Containers.ITEMS,
}
EXACT: Final = {
    "dict": Containers.DICT,
    "builtins.dict": Containers.DICT,
    "typing.Dict": Containers.DICT,
    "collections.defaultdict": Containers.DICT_SUBCLASS,
    "collections.Counter": Containers.DICT_SUBCLASS,
    "typing.DefaultDict": Containers.DICT_SUBCLASS,
    "set": Containers.SET,
    "builtins.set": Containers.SET,
    "typing.Set": Containers.SET,
    "list": Containers.LIST,
    "builtins.list": Containers.LIST,
    "typing.List": Containers.LIST,
}
VIEWS: Final = frozenset({"keys", "values", "items", "iteritems", "iterkeys", "itervalues"})


@cache
def kind_of(value: str) -> str:
    """The kind of a described value: "dict", "set", "list", "deque", "safe" or ""."""
    name = value.removeprefix("call:")
    for kind, names in (("dict", DICT), ("set", SET), ("list", LIST), ("deque", DEQUE), ("safe", SAFE)):
        if name in names:
            return kind
    return PASSED_ON.get(name.rpartition(".")[2], "") if value.startswith("call:") else ""


def kind_by_use(kinds: Collection[str]) -> str:
    """The kind of a container of which only the kinds of access are known; "" if they do not tell."""
    return next((kind for kind, telling in TELLING if telling & set(kinds)), "")


def goes_over(function: str, view: str) -> str:
    """How facts note that a function goes over a container, or over a view of it: the value of a "copy"."""
    return f"{function} {view}"


def in_one_step(consumed: str, values: Collection[str]) -> bool:
    """Whether what `goes_over` noted is one step for a container with these described values.

    Types without a row, as an OrderedDict, go item by item; a weak one is copied by its own methods.
    """
    function, _, view = consumed.partition(" ")
    if function not in GOES_OVER:
        return True  # the container's own copy()
    names = [value.removeprefix("call:") for value in values if kind_of(value)]
    if any(name.startswith("weakref.") for name in names):
        return function in ("builtins.list", "builtins.tuple", "builtins.sorted", "copy.copy")
    bits = [EXACT.get(name, NONE) for name in names]
    if view:
        bits = [VIEW_BITS.get(view, NONE) if bit else NONE for bit in bits]
    return all(GOES_OVER[function] & bit for bit in bits)
