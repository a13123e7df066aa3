"""The placement of sites: each is instrumented at its own instruction, or better at the one before.

CPython specialises instructions: the load of an attribute becomes a compare and a fetch. An instrumented
instruction loses its specialised form, and that costs more than judging it. So if the instruction before only
moves values (loads a local variable, copies, swaps), the probe instruments that one instead. It has no
specialised form, and the place of the operands at that point is known.

A basic block needs only one site for each variable. Take two loads of `self.place` with no call, no jump to
the second load and no new `self` in between. Nothing can order another thread's access between the two, so
the second load gives no new information. That holds for attributes of local variables, and for the load in
`x.n += 1`, which its store covers.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import NamedTuple

from threadproof.probe.flags import AccessFlag

# Offset, kind, flags, argument, name: from instrument.py.
Site = tuple[int, str, int, int, str | None]


class Instruction(NamedTuple):
    offset: int
    name: str
    argument: int


class Source(NamedTuple):
    """The place of an operand when the instrumented instruction is about to run."""

    of: str  # "stack", "local" or "constant"
    value: object  # the position from the top, which is 1; the local's number; the constant


class Placement(NamedTuple):
    """A site, the instruction to instrument for it, and its operands; `_core.probe.register` takes these."""

    instrumented: int
    offset: int
    kind: str
    flags: int
    argument: int
    name: str | tuple[str, ...] | None  # of an import, those of the modules
    operands: tuple[Source, ...]


# Positions from the top of the stack, when the site's own instruction is about to run.
OPERANDS: dict[str, tuple[int, ...]] = {
    "load_attribute": (1,),
    "load_method": (1,),
    "store_attribute": (1,),
    "load_item": (2, 1),
    "store_item": (2, 1, 3),
    "delete_item": (2, 1),
    "contains": (1, 2),
    "consume": (1,),
    "load_slice": (3,),
    "store_slice": (3, 4),
    "load_dict": (1,),
    "store_dict": (1, 2),
    "combine": (2, 1),
    "truth": (1,),
    "show": (1,),
    "compare": (2, 1),
    "match_keys": (2, 1),
    "match_class": (3, 2, 1),
    "spread": (2, 1, 4, 3),
    "generate": (2, 1),
    "advance": (2,) if sys.version_info >= (3, 15) else (1,),  # since 3.15 an index is above the iterator
}
MOST_ARGUMENTS = 4  # of a call that are judged: a builtin with more is rarely called


def operands_of(kind: str, argument: int, with_self: bool = False) -> tuple[int, ...]:
    if kind in ("call", "call_named"):  # the function, a place for self, the arguments, and their names
        above = 1 if kind == "call_named" else 0
        arguments = range(argument, max(argument - MOST_ARGUMENTS, 0), -1)
        function = (argument + 2, argument + 1) if with_self else (argument + 2,)
        return tuple(above + place for place in (*function, *arguments))
    if kind in ("any_call", "any_call_named"):
        return operands_of(kind.removeprefix("any_"), argument, with_self=True)
    return OPERANDS.get(kind, ())


Where = Callable[[CodeType, int, int], Source]


def pushed(source: Callable[[CodeType, int], Source]) -> Where:
    return lambda code, argument, place: source(code, argument) if place == 1 else Source("stack", place - 1)


def after_two_locals(code: CodeType, argument: int, place: int) -> Source:
    if place > 2:
        return Source("stack", place - 2)
    return Source("local", argument & 15 if place == 1 else argument >> 4)


def after_store_and_load(code: CodeType, argument: int, place: int) -> Source:
    if place > 1 or argument & 15 == argument >> 4:
        return Source("stack", place)
    return Source("local", argument & 15)


def after_swap(code: CodeType, argument: int, place: int) -> Source:
    return Source("stack", {1: argument, argument: 1}.get(place, place))


LOCAL = pushed(lambda code, argument: Source("local", argument))

# Stack-only instructions: for a position of the stack after one, the operand's place before it.
STACK_ONLY: dict[str, Where] = {
    "LOAD_FAST": LOCAL,
    "LOAD_FAST_BORROW": LOCAL,
    "LOAD_FAST_LOAD_FAST": after_two_locals,
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": after_two_locals,
    "STORE_FAST_LOAD_FAST": after_store_and_load,
    "LOAD_CONST": pushed(lambda code, argument: Source("constant", code.co_consts[argument])),
    "LOAD_SMALL_INT": pushed(lambda code, argument: Source("constant", argument)),
    "COPY": pushed(lambda code, argument: Source("stack", argument)),
    "SWAP": after_swap,
}

SPECIALISED = {"LOAD_ATTR", "STORE_ATTR", "BINARY_OP", "STORE_SUBSCR", "CONTAINS_OP", "LOAD_GLOBAL"}
SPECIALISED |= {"UNPACK_SEQUENCE", "CALL"}

# The ends of a basic block: they can order another thread's access, or do not always continue.
ENDS = {"RETURN_VALUE", "RAISE_VARARGS", "RERAISE", "SEND", "YIELD_VALUE", "FOR_ITER"}
ENDING = ("CALL", "JUMP_", "IMPORT_", "LOAD_SPECIAL", "WITH_", "GET_A", "END_ASYNC_FOR")


def ends_block(name: str) -> bool:
    return name in ENDS or name.startswith(ENDING)


def rebound(instruction: Instruction) -> tuple[int, ...]:
    """The local variables that the instruction stores."""
    _, name, argument = instruction
    match name:
        case "STORE_FAST" | "STORE_FAST_MAYBE_NULL" | "DELETE_FAST" | "LOAD_FAST_AND_CLEAR":
            return (argument,)
        case "STORE_FAST_STORE_FAST":
            return argument >> 4, argument & 15
        case "STORE_FAST_LOAD_FAST":
            return (argument >> 4,)
    return ()


jump_targets: Callable[[bytes], list[int]] = dis.findlabels  # type: ignore[assignment]  # it takes bytes


def place_sites(
    code: CodeType,
    sites: Iterable[Site],
    listing: Sequence[Instruction],
    *,
    apart: bool = False,
    every: bool = False,
) -> list[Placement]:
    """The sites that are needed, or `every` one, each with the instruction to instrument for it.

    `apart`: that is its own.
    """
    by_offset = {site[0]: site for site in sites}
    targets = {each.offset for each in listing} if apart else set(jump_targets(code.co_code))
    placed = {
        offset: placed_at(code, site, listing, place, targets)
        for place, (offset, _, _) in enumerate(listing)
        if (site := by_offset.get(offset)) is not None
    }
    return list(placed.values() if every else BasicBlocks(listing, targets, placed).needed())


def placed_at(
    code: CodeType, site: Site, listing: Sequence[Instruction], place: int, targets: set[int]
) -> Placement:
    """Instrumented at the instruction before, if that only moves values and nothing jumps in between."""
    offset, kind, flags, argument, name = site
    places = operands_of(kind, argument)
    before = listing[place - 1] if place else listing[place]
    where = STACK_ONLY.get(before.name)
    if where and listing[place].name in SPECIALISED and offset not in targets:
        sources = tuple(where(code, before.argument, at) for at in places)
        return Placement(before.offset, offset, kind, flags, argument, name, sources)
    return Placement(offset, offset, kind, flags, argument, name, tuple(Source("stack", at) for at in places))


class BasicBlocks:
    """One pass over the instructions, with the loads of the current basic block so far."""

    def __init__(
        self, listing: Sequence[Instruction], targets: set[int], placed: dict[int, Placement]
    ) -> None:
        self.listing = listing
        self.targets = targets
        self.placed = placed
        self.loaded: dict[tuple[object, object], int] = {}  # (local, attribute): offset of the first load
        # the load of an `x.n += 1` or `x[k] += 1` whose store has not come yet
        self.update: Placement | None = None

    def needed(self) -> Iterable[Placement]:
        for instruction in self.listing:
            if instruction.offset in self.targets or ends_block(instruction.name):
                self.loaded.clear()
                self.update = None
            for local in rebound(instruction):
                self.forget(local)
            if instruction.offset in self.placed:
                self.visit(self.placed[instruction.offset])
        return self.placed.values()

    def forget(self, local: int) -> None:
        self.loaded = {variable: first for variable, first in self.loaded.items() if variable[0] != local}

    def visit(self, site: Placement) -> None:
        match site.kind:
            case "load_attribute" | "load_item" if site.flags & AccessFlag.UPDATE:
                self.update = site
            case "load_attribute" if site.operands[0].of == "local":
                self.load(site)
            case "store_attribute" | "store_item":
                self.store(site)

    def load(self, site: Placement) -> None:
        """The first load of a variable covers all others in the block."""
        first = self.loaded.setdefault((site.operands[0].value, site.name), site.offset)
        if first != site.offset:
            earlier = self.placed[first]
            self.placed[first] = earlier._replace(flags=earlier.flags | site.flags)
            del self.placed[site.offset]

    def store(self, site: Placement) -> None:
        """The store of an update covers its load."""
        load, self.update = self.update, None
        if load and load.name == site.name and site.flags & AccessFlag.UPDATE:
            del self.placed[load.offset]
