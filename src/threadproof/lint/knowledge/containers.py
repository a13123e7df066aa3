"""Containers: their types, what their methods do, and which operations are one atomic step.

The levels are those of "Thread Safety Guarantees" in CPython's documentation (library/threadsafety): an
operation of one object in C, which runs no Python code, is one step with a GIL and without.
"""

from __future__ import annotations

from functools import cache
from typing import Final

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
# One step that both looks and acts, or replaces, in CPython's C code.
ATOMIC: Final = frozenset(
    {"setdefault", "append", "appendleft", "popleft", "popitem", "discard", "add", "copy"}
)

# Functions that take a whole container in one step, as the C code they are runs no Python in between.
WHOLE: Final = frozenset(
    {
        "builtins.list",
        "builtins.tuple",
        "builtins.dict",
        "builtins.len",
        "builtins.set",
        "builtins.frozenset",
        "builtins.sorted",
        "builtins.bool",
        "builtins.str",
        "builtins.repr",
        "builtins.sum",
        "builtins.min",
        "builtins.max",
        "builtins.any",
        "builtins.all",
        "copy.copy",
    }
)
VIEWS: Final = frozenset({"keys", "values", "items", "iteritems", "iterkeys", "itervalues"})


@cache
def kind_of(value: str) -> str:
    """The kind of a described value: "dict", "set", "list", "deque", "safe" or ""."""
    name = value.removeprefix("call:")
    for kind, names in (("dict", DICT), ("set", SET), ("list", LIST), ("deque", DEQUE), ("safe", SAFE)):
        if name in names:
            return kind
    return ""
