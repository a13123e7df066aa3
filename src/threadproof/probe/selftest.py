"""The self-test: whether the probe reads the interpreter's frames correctly.

A function whose operands are known, with sites of every kind, runs while the probe records the operands that
it reads instead of judging them. After one difference the probe does not start: a wrong guess about a frame
gives wrong reports at best.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CellType, CodeType, FrameType
from typing import Any, NoReturn

from threadproof import _core
from threadproof.probe.instrument import Stored, sites_of
from threadproof.probe.interceptors import intercepted

Read = tuple[str, object, object]

canary_global = 1
DEEPEST = 20  # frames to compare: as many as the deepest stacks that are captured by default


WARM = 1000  # executions: the interpreter has replaced an instruction by a shortcut long before


class SelfTestError(RuntimeError):
    """The probe cannot read the frames of this interpreter."""


class Canary:
    def __init__(self) -> None:
        self.attribute = 1

    def method(self) -> None: ...


def self_test(instrument: Callable[[CodeType], None]) -> None:
    """SelfTestError if what is read is not the canary's; `instrument` turns on events for a code object."""
    check_layout()
    canary, items, mapping = Canary(), [1, 2, 3], {"key": [4]}
    run, cell = canary_function()
    wanted = expected(canary, items, mapping, cell)
    _core.probe.register(run.__code__, sites_of(run.__code__, STORED))
    read: list[Read] = []
    _core.probe.record_operands(read)
    try:
        instrument(run.__code__)
        run(canary, items, mapping)
    finally:
        _core.probe.record_operands(None)
    compare(read, wanted)
    check_stack()
    check_objects()
    check_interrupts()
    if "accesses" in intercepted:
        check_append()


STORED = Stored(frozenset({"canary_global"}), frozenset({"captured"}))


def canary_function() -> tuple[Callable[..., None], CellType]:
    captured = 1

    def run(canary: Canary, items: list[int], mapping: dict[str, Any]) -> None:
        global canary_global
        nonlocal captured
        first, last, empty = 0, 2, ()
        _ = canary.attribute
        canary.attribute += 1
        canary.method()
        _ = items[last]
        _ = mapping["key"][first]
        mapping["key"][first] += items[last - 2]
        items[first] = mapping["key"]
        del mapping["key"]
        _ = "key" in mapping
        canary_global = canary_global + 1
        captured = captured + 1
        for _ in items:
            break
        _ = [*items]
        _ = len(items)
        _ = items[first:last]  # a slice of constants would be a constant itself, and an item
        items[first:last] = items
        if items:
            items += items
        _ = sorted(items, key=str)
        canary.method(*empty)
        _ = canary.__dict__

    (cell,) = run.__closure__ or (CellType(),)
    return run, cell


def expected(canary: Canary, items: list[int], mapping: dict[str, Any], cell: CellType) -> list[Read]:
    inner = mapping.get("key")
    return [
        ("load_attribute", canary, None),
        ("store_attribute", canary, None),  # it stands for the load of the update
        ("load_method", canary, None),
        ("load_item", items, 2),
        ("load_item", mapping, "key"),
        ("load_item", inner, 0),
        ("load_item", mapping, "key"),
        ("load_item", items, 0),
        ("combine", inner[0] if inner else None, items[0] if items else None),
        ("store_item", inner, 0),
        ("load_item", mapping, "key"),
        ("store_item", items, 0),
        ("delete_item", mapping, "key"),
        ("contains", mapping, "key"),
        ("load_global", globals(), None),
        ("store_global", globals(), None),
        ("load_cell", cell, None),
        ("store_cell", cell, None),
        ("consume", items, None),
        ("consume", items, None),
        ("call", len, items),
        ("load_slice", items, None),
        ("store_slice", items, items),
        ("truth", items, None),
        ("combine", items, items),
        ("call_named", sorted, items),
        ("load_attribute", canary, None),
        ("spread", (), None),
        ("load_dict", canary, None),
    ]


def compare(read: list[Read], wanted: list[Read]) -> None:
    for got, want in zip(read, wanted, strict=False):
        if not same(got, want):
            fail(f"before {want[0]} it read {name(got[1])} and {name(got[2])} ({got[0]})")
    if len(read) != len(wanted):
        fail(f"it saw {len(read)} instructions of {len(wanted)}")


def check_stack() -> None:
    """The frames of this thread, compared with Python's own; the innermost one has advanced since."""
    read = _core.probe.frames(_core.probe.capture(DEEPEST))
    frame: FrameType | None = sys._getframe()
    for depth, (code, offset) in enumerate(read):
        if not frame or frame.f_code is not code or (depth and frame.f_lasti != offset):
            fail(f"frame {depth} of the stack is not {code.co_qualname}() at {offset}")
        frame = frame.f_back
    if len(read) < 2:
        fail(f"of the stack it read {len(read)} frames")


def check_objects() -> None:
    """The place of objects' attributes, and the dict of a view."""
    inline, asked, mapping = Canary(), Canary(), {"key": 1}
    for instance, attribute, want in (
        (inline, "attribute", (None, True, inline)),
        (inline, "method", (None, False, inline)),
        (asked, "attribute", (vars(asked), True, asked)),
        (mapping.items(), "key", (None, False, mapping)),
    ):
        got = _core.probe.read_object(instance, attribute)
        if any(one is not other for one, other in zip(got, want, strict=True)):
            fail(f"of a {type(instance).__name__} and {attribute!r} it read {got}")


def check_layout() -> None:
    """Before anything is read: that the interpreter's structures are those of the build's headers."""
    if name := _core.probe.different_structure():
        fail(f"{name} has another layout here than in the headers that threadproof was built with")


def check_append() -> None:
    """That list.append is intercepted also in a loop for which the interpreter has a shortcut."""
    items: list[int] = []
    if (seen := _core.probe.count_appends(append_often, items)) != len(items):
        fail(f"of {len(items)} calls of list.append() it saw {seen}")


def check_interrupts() -> None:
    """Where the interpreter keeps the interrupts that wait for a thread."""
    if not _core.probe.takes_interrupts():
        fail("it does not see an interrupt that waits")


def append_often(items: list[int]) -> None:
    for number in range(WARM):
        items.append(number)  # noqa: PERF402 - the call is the point


def same(got: Read, want: Read) -> bool:
    return got[0] == want[0] and got[1] is want[1] and got[2] is want[2]


def name(value: Any) -> str:
    return f"a {type(value).__name__}"


def fail(what: str) -> NoReturn:
    raise SelfTestError(
        "the probe cannot read the frames of this interpreter "
        f"({sys.version.split()[0]}): {what}; "
        f"build threadproof for this very version, or use CPython 3.14t"
    )
