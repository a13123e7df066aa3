"""No memory, at every allocation in turn: a call raises MemoryError and has done nothing, or does its work.

Either way the map passes its own check, has no reference too many, and still works. Allocations of the
extension can fail in the stress build only; those of CPython only with its own test module, on a build with
a GIL.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tests.maps.keys import HASHES, Key
from tests.maps.kinds import ShardedMapRW
from tests.maps.operations import READS, REMOVALS, REPLACEMENTS, STORES, Map
from threadproof import Cache, HashMap, LockedMap, SnapshotMap, SyncMap, _core

stress_fail_allocations: Any = getattr(_core, "stress_fail_allocations", None)
testcapi: Any = importlib.import_module("_testcapi") if importlib.util.find_spec("_testcapi") else None
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

SIZE = 30  # keys; in the stress build, one more of their hash needs memory

Call = Callable[[Map, Key, Any, Any], Any]


def reading(do: Callable[[Map, Any], Any]) -> Call:
    return lambda m, key, old, new: do(m, key)


def storing(do: Callable[[Map, Any, Any], bool]) -> Call:
    return lambda m, key, old, new: do(m, key, new)


def removing(do: Callable[[Map, Any, Any], bool]) -> Call:
    return lambda m, key, old, new: do(m, key, old)


ON_A_KEY: dict[str, Call] = {
    **{f"{name}, to read": reading(do) for name, do in READS.items()},
    **{f"{name}, to store": storing(do) for name, do in STORES.items()},
    **{f"{name}, to replace": do for name, do in REPLACEMENTS.items()},
    **{f"{name}, to remove": removing(do) for name, do in REMOVALS.items()},
    "[]=": lambda m, key, old, new: m.__setitem__(key, new),
    "add": lambda m, key, old, new: m.add(key, 0.5, new),
    "set_many": lambda m, key, old, new: m.set_many([key], [new]),
    "count_many": lambda m, key, old, new: m.count_many([key], 0.5),
    "update": lambda m, key, old, new: m.update({key: new}),
    "|=": lambda m, key, old, new: m.__ior__([(key, new)]),
}

ON_THE_MAP: dict[str, Call] = {
    "len": lambda m, key, old, new: len(m),
    "list": lambda m, key, old, new: list(m),
    "items": lambda m, key, old, new: list(m.items()),
    "==": lambda m, key, old, new: m == {},
    "copy": lambda m, key, old, new: m.copy(),
    "|": lambda m, key, old, new: m | {},
    "snapshot": lambda m, key, old, new: m.snapshot(),
    "stats": lambda m, key, old, new: m.stats(),
    "reserve": lambda m, key, old, new: m.reserve(100),  # type: ignore[attr-defined]
    "popitem": lambda m, key, old, new: m.popitem(),
    "clear": lambda m, key, old, new: m.clear(),
    "drain": lambda m, key, old, new: m.drain(),
}

EVERY = {**ON_A_KEY, **ON_THE_MAP}


def give(*args: Any) -> float:
    return 2.5


GIVEN: dict[str, Call] = {
    "compute": lambda m, key, old, new: m.compute(key, give),
    "compute_if_absent": lambda m, key, old, new: m.compute_if_absent(key, give),
    "compute_if_present": lambda m, key, old, new: m.compute_if_present(key, give),
    "merge": lambda m, key, old, new: m.merge(key, new, give),
    "compare_and_swap": lambda m, key, old, new: m.compare_and_swap(key, new, new, equal=give),
    "compare_and_delete": lambda m, key, old, new: m.compare_and_delete(key, new, equal=give),
}
"""With a function that is there beforehand: CPython can lose references when it has no memory to make one."""

IN_PYTHON = ("compute", "merge", "update", "|", "copy")
DIRECT = {name: call for name, call in EVERY.items() if not name.startswith(IN_PYTHON)} | GIVEN

MAY_BE_RAISED = (KeyError, MemoryError)  # made beforehand: naming both where they are caught takes memory

Shortage = Callable[[int, Callable[[], object]], bool]
"""Makes a call with so many allocations, and says whether they were too few, or as many as it took."""


def without_native_memory(allocations: int, call: Callable[[], object]) -> bool:
    stress_fail_allocations(allocations)
    try:
        call()
    except MAY_BE_RAISED:
        pass
    finally:
        left: int = stress_fail_allocations(-1)
    return left == 0


def without_python_memory(allocations: int, call: Callable[[], object]) -> bool:
    testcapi.set_nomemory(allocations)
    try:
        call()
    except MAY_BE_RAISED:
        pass
    finally:
        testcapi.remove_mem_hooks()
    return allocations < 40  # more than any of these calls asks for


Native = (
    Cache[Key, Any]
    | HashMap[Key, Any]
    | LockedMap[Key, Any]
    | ShardedMapRW
    | SnapshotMap[Key, Any]
    | SyncMap[Key, Any]
)
Kind = type[Native]


def filled(kind: Kind, keys: list[Key], value: object) -> Native:
    m = kind()
    for key in keys:
        m[key] = value
    return m


def outcomes(
    kind: Kind, call: Call, keys: list[Key], target: Key, old: float, new: float
) -> list[dict[Key, Any]]:
    """What the map may hold after the call: what it held, or what the call makes of it."""
    m = filled(kind, keys, old)
    before = dict(m)
    with suppress(KeyError):
        call(m, target, old, new)
    return [before, dict(m)]


def references(things: list[object]) -> list[int]:
    return [sys.getrefcount(each) for each in things]


def check_every_allocation(
    kind: Kind, call: Call, make_key: Callable[[int], Key], shortage: Shortage, present: bool
) -> None:
    keys = [make_key(number) for number in range(SIZE)]
    target = keys[3] if present else make_key(SIZE)
    old, new = float("1.25"), float("2.25")
    allowed = outcomes(kind, call, keys, target, old, new)
    things = [*keys, target, old, new]
    held = references(things)
    allocations, short = 0, True
    while short:
        m = filled(kind, keys, old)
        short = shortage(allocations, partial(call, m, target, old, new))
        m.check()
        if call is ON_THE_MAP["popitem"]:
            assert len(m) in (len(keys), len(keys) - 1)
        else:
            assert dict(m) in allowed
        m[target] = new
        assert m.pop(target) == new
        del m
        if references(things) != held:
            gc.collect()
        assert references(things) == held, f"with {allocations} allocations"
        allocations += 1


@pytest.fixture(params=HASHES)
def make_key(request: pytest.FixtureRequest) -> Callable[[int], Key]:
    hash_of = HASHES[request.param]
    return lambda number: Key(number, hash_of(number))


@pytest.mark.skipif(stress_fail_allocations is None, reason="only the stress build can fail allocations")
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in (Cache, HashMap, LockedMap, ShardedMapRW, SnapshotMap, SyncMap)
        for name in EVERY
        if kind is HashMap or name != "reserve"
    ],
)
def test_in_the_stress_build_a_call_without_native_memory_is_whole_or_has_done_nothing(
    kind: Kind, name: str, make_key: Callable[[int], Key], present: bool
) -> None:
    check_every_allocation(kind, EVERY[name], make_key, without_native_memory, present)


@pytest.mark.skipif(stress_fail_allocations is None, reason="only the stress build can fail allocations")
@pytest.mark.parametrize("kind", [Cache, HashMap, LockedMap, ShardedMapRW, SnapshotMap, SyncMap])
def test_in_the_stress_build_a_map_that_could_not_be_made_is_not_finalized(kind: Kind) -> None:
    finalized: list[int] = []

    class Watched(kind):  # type: ignore[misc, valid-type]
        def __del__(self) -> None:
            finalized.append(len(self))

    made = 0
    while without_native_memory(made, Watched):
        made += 1
    assert set(finalized) == {0}  # those that were made; an __init__ can fail after that


@pytest.fixture
def no_other_thread() -> Iterator[None]:
    """With a GIL: none of pytest's own gets it amid a call, and so finds no memory, either."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("no_other_thread")
@pytest.mark.skipif(testcapi is None, reason="this Python comes without _testcapi")
@pytest.mark.skipif(FREE_THREADED, reason="without memory for a list, PyList_New of these versions crashes")
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("kind", [Cache, HashMap, LockedMap, ShardedMapRW, SyncMap])
def test_where_testcapi_and_a_gil_are_a_call_without_python_memory_is_whole_or_has_done_nothing(
    kind: Kind, name: str, present: bool
) -> None:
    if kind is HashMap or name != "reserve":
        check_every_allocation(kind, DIRECT[name], Key, without_python_memory, present)
