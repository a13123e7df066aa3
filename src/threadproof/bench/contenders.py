"""Contenders: the maps to measure, and the source code of each operation, as a good program writes it.

An idiom is the source of one operation in a timed loop, with the names below. A contender is excluded from
workloads for which it lacks an idiom, and where threads share the map from those with an `unsafe` idiom.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import isabstract
from types import ModuleType
from typing import Any

from threadproof.maps.contract import ConcurrentMap

SHARDS = 64  # as ShardedMap has

# Names in an idiom: m the map, lock a lock that all threads share, k a key, ks a list of keys, VALUE and
# VALUES the values to store there, n how many keys the map will have.
READ, WRITE, DELETE = "m[k]", "m[k] = VALUE", "del m[k]"
CHECK = "m[k] == VALUE or wrong(k)"

DICT_IDIOMS = {
    "read": READ,
    "get": "m.get(k)",
    "in": "k in m",
    "check": CHECK,
    "write": WRITE,
    "delete": DELETE,
    "setdefault": "m.setdefault(k, VALUE)",
    "fetch": "m.get(k) or m.setdefault(k, VALUE)",
    "add": "m[k] += 1",
    "iterate": "for _ in list(m): pass",
    "scan": "for _ in islice(m, 50): pass",
    "get_many": "[m[k] for k in ks]",
    "set_many": "m.update(zip(ks, VALUES))",
    "count_many": "m.update(ks)",
    "reserve": "pass",
    "clear": "m.clear()",
}
LOST = "updates are lost"
RAISES = "raises RuntimeError when another thread inserts"


@dataclass(frozen=True)
class Contender:
    """A map to measure."""

    name: str
    make: Callable[[], Any]
    idioms: Mapping[str, str]
    unsafe: Mapping[str, str] = field(default_factory=dict)  # operation -> the error when threads share it
    make_counts: Callable[[], Any] | None = None  # the map for counting, if it is another one
    counters: Mapping[str, Callable[[], Any]] = field(default_factory=dict)  # operation -> type of the counts
    package: str = ""  # the distribution that it comes from, if not Python or this one

    def __hash__(self) -> int:
        return hash(self.name)

    def counter(self, operations: frozenset[str]) -> Callable[[], Any]:
        """The type of the counts in a workload of these operations that counts."""
        return next((self.counters[each] for each in sorted(operations) if each in self.counters), int)

    def obstacle(self, operations: frozenset[str], threads: int) -> str:
        """Why the contender is excluded from a workload of these operations; empty if it is not."""
        missing = sorted(operations - set(self.idioms))
        if missing:
            return f"has no {missing[0]}"
        wrong = sorted(operations & set(self.unsafe))
        return f"{wrong[0]}: {self.unsafe[wrong[0]]}" if wrong and threads > 1 else ""


def guarded(idioms: Mapping[str, str]) -> dict[str, str]:
    """The same idioms, each under the lock."""
    return {name: f"with lock: {idiom}" for name, idiom in idioms.items()}


DICT = Contender(
    "dict",
    dict,
    DICT_IDIOMS,
    unsafe={"add": LOST, "count_many": LOST, "scan": RAISES},
    make_counts=Counter,
)

LOCKED_DICT = Contender(
    "dict + Lock",
    dict,
    guarded(DICT_IDIOMS)
    | {
        "fetch": "with lock: m.setdefault(k, VALUE)",
        "iterate": "with lock: copy = list(m)\nfor _ in copy: pass",
        "scan": "with lock: copy = list(islice(m, 50))\nfor _ in copy: pass",
        "count_many": "counts = Counter(ks)\nwith lock: m.update(counts)",
        "reserve": "pass",
    },
    make_counts=Counter,
)


class ShardedDict:
    """64 dicts, each with a lock, as many programs have."""

    def __init__(self) -> None:
        self.shards: list[dict[Any, Any]] = [{} for _ in range(SHARDS)]
        self.locks = [threading.Lock() for _ in range(SHARDS)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.shards[hash(key) & (SHARDS - 1)][key] = value

    def __getitem__(self, key: Any) -> Any:
        return self.shards[hash(key) & (SHARDS - 1)][key]

    def __delitem__(self, key: Any) -> None:
        del self.shards[hash(key) & (SHARDS - 1)][key]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __iter__(self) -> Iterator[Any]:
        return (key for shard in self.shards for key in shard)

    def clear(self) -> None:
        """Empty all shards in one atomic step, as the other maps do."""
        for lock in self.locks:
            lock.acquire()
        for shard in self.shards:
            shard.clear()
        for lock in self.locks:
            lock.release()


def sharded(idiom: str) -> str:
    """The idiom for a dict at one key, applied to the key's shard under its lock."""
    return f"i = hash(k) & {SHARDS - 1}\nwith m.locks[i]: {idiom.replace('m[', 'm.shards[i][')}"


def each_key(idiom: str) -> str:
    return "for k in ks:\n" + "\n".join(f"    {line}" for line in idiom.splitlines())


SHARDED_DICT = Contender(
    f"{SHARDS} dicts + Locks",
    ShardedDict,
    {name: sharded(DICT_IDIOMS[name]) for name in ("read", "check", "write", "delete", "add")}
    | {
        "get": sharded("m.shards[i].get(k)"),
        "in": sharded("k in m.shards[i]"),
        "setdefault": sharded("m.shards[i].setdefault(k, VALUE)"),
        "fetch": sharded("m.shards[i].setdefault(k, VALUE)"),
        "iterate": "for lock, shard in zip(m.locks, m.shards):\n"
        "    with lock: copy = list(shard)\n"
        "    for _ in copy: pass",
        "scan": "left = 50\n"
        "for lock, shard in zip(m.locks, m.shards):\n"
        "    with lock: copy = list(islice(shard, left))\n"
        "    for _ in copy: pass\n"
        "    left -= len(copy)\n"
        "    if not left: break",
        "get_many": each_key(sharded(READ)),
        "set_many": each_key(sharded(WRITE)),
        "count_many": each_key(sharded("m[k] += 1")),
        "reserve": "pass",
        "clear": "m.clear()",
    },
)

CONTRACT_IDIOMS = DICT_IDIOMS | {
    "add": "m.add(k)",
    "iterate": "for _ in m: pass",
    "get_many": "m.get_many(ks)",
    "set_many": "m.set_many(ks, VALUES)",
    "count_many": "m.count_many(ks)",
}


def of_contract(name: str, make: Callable[[], Any]) -> Contender:
    """A contender that keeps ConcurrentMap's contract."""
    reserving = {"reserve": "m.reserve(n)"} if hasattr(make, "reserve") else {}
    return Contender(name, make, CONTRACT_IDIOMS | reserving)


def in_module(module: ModuleType) -> list[Contender]:
    """Every map that keeps the contract among the public names of a module, such as threadproof.maps."""
    members = [getattr(module, name) for name in module.__all__]
    maps = [each for each in members if isinstance(each, type) and issubclass(each, ConcurrentMap)]
    return [of_contract(each.__name__, each) for each in maps if not isabstract(each)]


def of_mapping(name: str, make: Callable[[], Any]) -> Contender:
    """A contender of any other type, on the assumption that threads may share it."""
    if hasattr(make, "compute_if_absent"):
        return of_contract(name, make)
    methods = {"setdefault", "iterate", "get_many", "set_many", "count_many", "clear"}
    have = {each for each in methods if hasattr(make, each)}
    plain = {"read", "check", "write", "delete", "get", "in"}
    return Contender(name, make, {each: CONTRACT_IDIOMS[each] for each in plain | have})


# --- of other packages ---


def cereggii() -> Contender:
    module = import_module("cereggii")
    crash = "segfaults when another thread writes (cereggii issue 88)"
    return Contender(
        "cereggii.AtomicDict",
        module.AtomicDict,
        {
            "read": READ,
            "get": "m.get(k)",
            "check": CHECK,
            "write": WRITE,
            "delete": DELETE,
            "fetch": "if m.get(k) is None: m[k] = VALUE",
            "add": "m[k].increment_and_get()",  # faster than its reduce_sum for one key
            "iterate": "for _ in m.fast_iter(): pass",
            "scan": "for _ in islice(m.fast_iter(), 50): pass",
            "get_many": "m.batch_getitem(dict.fromkeys(ks))",
            "set_many": each_key(WRITE),
            "count_many": "m.reduce_count(ks)",
            "reserve": "pass",
        },
        unsafe={"iterate": crash, "scan": crash},
        counters={"add": module.AtomicInt64},
        package="cereggii",
    )


def ft_utils() -> Contender:
    module = import_module("ft_utils.concurrency")
    return Contender(
        "ft_utils.ConcurrentDict",
        module.ConcurrentDict,
        DICT_IDIOMS
        | {
            "add": "m[k].incr()",
            "iterate": "for _ in m.keys(): pass",
            "set_many": each_key(WRITE),
            "count_many": each_key("m[k].incr()"),
        },
        unsafe={"scan": "its iterator segfaults when another thread deletes"},
        counters={"add": module.AtomicInt64, "count_many": module.AtomicInt64},
        package="ft-utils",
    )


PACKAGES: dict[str, Callable[[], Contender]] = {
    "cereggii.AtomicDict": cereggii,
    "ft_utils.ConcurrentDict": ft_utils,
}
BUILT_IN = (DICT, LOCKED_DICT, SHARDED_DICT)
NOTHING = Contender(  # does nothing: the delays of the machine itself, for measurements of single operations
    "nothing at all", dict, {"write": "pass", "get": "pass"}
)


def installed() -> tuple[list[Contender], list[str]]:
    """The contenders of other packages that are installed, and the names of those that are not."""
    found: list[Contender] = []
    missing: list[str] = []
    for name, make in PACKAGES.items():
        try:
            found.append(make())
        except ImportError:
            missing.append(name)
    return found, missing


def versions(contenders: Iterable[Contender]) -> dict[str, str]:
    """The version of each package that a contender is from."""
    return {each.package: version_of(each.package) for each in contenders if each.package}


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def load(place: str) -> Contender:
    """A contender of `module:attribute`, found through PYTHONPATH; the attribute makes an empty map."""
    module, _, attribute = place.partition(":")
    return replace(of_mapping(place, getattr(import_module(module), attribute)))
