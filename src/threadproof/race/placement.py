"""Where an instruction is watched: at itself, or better at the one before it.

CPython specialises instructions: an attribute's load becomes a compare and a fetch. One that is watched loses
that, which costs more than our looking at it. So where the instruction before it only moves values (loads a
local variable, copies, swaps), that one is watched in its place: it has nothing to lose, and it is known
where the operands are by then.

What a stretch of code has looked at need not be watched again. Between two loads of `self.place` with no
call, no jump to the second and no new `self` in between, nothing puts another thread's step in order, so the
second tells nothing. That holds for attributes of local variables, and for the load in `x.n += 1`: its store
says it all.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import NamedTuple

from threadproof.race.traits import Trait

# Offset, kind, traits, argument, name: what instrument.py makes.
Site = tuple[int, str, int, int, str | None]


class Instruction(NamedTuple):
    offset: int
    name: str
    argument: int


class Source(NamedTuple):
    """Where an operand is when the watched instruction is about to run."""

    of: str  # "stack", "local" or "constant"
    value: object  # the place from the top, from 1 on; the local's number; the constant


class Placed(NamedTuple):
    """What _core.race_register takes: a site, the instruction to watch for it, and its operands."""

    watched: int
    offset: int
    kind: str
    traits: int
    argument: int
    name: str | tuple[str, ...] | None  # of an import, those of the modules
    operands: tuple[Source, ...]


# Places from the top of the stack, when the instruction itself is about to run.
OPERANDS: dict[str, tuple[int, ...]] = {
    "load_attribute": (1,),
    "load_method": (1,),
    "store_attribute": (1,),
    "load_item": (2, 1),
    "store_item": (2, 1),
    "delete_item": (2, 1),
    "contains": (1, 2),
    "iterate": (1,),
    "unpack": (1,),
    "load_slice": (3,),
    "store_slice": (3,),
    "load_dict": (1,),
    "store_dict": (1, 2),
    "combine": (2, 1),
    "truth": (1,),
    "spread": (2, 1),
    "generate": (2, 1),
}
MOST_ARGUMENTS = 4  # of a call that are looked at


def operands_of(kind: str, argument: int) -> tuple[int, ...]:
    if kind in ("call", "call_named"):  # the function, a place for self, the arguments, and their names
        above = 1 if kind == "call_named" else 0
        arguments = range(argument, max(argument - MOST_ARGUMENTS, 0), -1)
        return above + argument + 2, *(above + place for place in arguments)
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

# Instructions that only move values: where, before one, is what is at a place of the stack after it?
MOVERS: dict[str, Where] = {
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

# What a stretch ends with: it can put another thread's step in order, or does not always go on to the next.
ENDS = {"RETURN_VALUE", "RAISE_VARARGS", "RERAISE", "SEND", "YIELD_VALUE", "FOR_ITER"}
ENDING = ("CALL", "JUMP_", "IMPORT_", "LOAD_SPECIAL", "WITH_", "GET_A", "END_ASYNC_FOR")


def ends_stretch(name: str) -> bool:
    return name in ENDS or name.startswith(ENDING)


def rebound(instruction: Instruction) -> tuple[int, ...]:
    """The local variables that are something else after the instruction."""
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
    code: CodeType, sites: Iterable[Site], listing: Sequence[Instruction], *, apart: bool = False
) -> list[Placed]:
    """The sites that are worth watching, each with the instruction to watch for it; `apart`, at itself."""
    by_offset = {site[0]: site for site in sites}
    targets = {each.offset for each in listing} if apart else set(jump_targets(code.co_code))
    placed = {
        offset: placed_at(code, site, listing, place, targets)
        for place, (offset, _, _) in enumerate(listing)
        if (site := by_offset.get(offset)) is not None
    }
    return list(Stretches(listing, targets, placed).worth_watching())


def placed_at(
    code: CodeType, site: Site, listing: Sequence[Instruction], place: int, targets: set[int]
) -> Placed:
    """Watched at the instruction before it, if that only moves values and nothing jumps in between."""
    offset, kind, traits, argument, name = site
    places = operands_of(kind, argument)
    before = listing[place - 1] if place else listing[place]
    where = MOVERS.get(before.name)
    if where and listing[place].name in SPECIALISED and offset not in targets:
        sources = tuple(where(code, before.argument, at) for at in places)
        return Placed(before.offset, offset, kind, traits, argument, name, sources)
    return Placed(offset, offset, kind, traits, argument, name, tuple(Source("stack", at) for at in places))


class Stretches:
    """One pass over the instructions, with what the stretch up to here has looked at."""

    def __init__(self, listing: Sequence[Instruction], targets: set[int], placed: dict[int, Placed]) -> None:
        self.listing = listing
        self.targets = targets
        self.placed = placed
        self.loaded: dict[tuple[object, object], int] = {}  # (local, attribute): offset of the first load
        self.update: Placed | None = None  # the load of an `x.n += 1` or `x[k] += 1` on its way to its store

    def worth_watching(self) -> Iterable[Placed]:
        for instruction in self.listing:
            if instruction.offset in self.targets or ends_stretch(instruction.name):
                self.loaded.clear()
                self.update = None
            for local in rebound(instruction):
                self.forget(local)
            if instruction.offset in self.placed:
                self.look(self.placed[instruction.offset])
        return self.placed.values()

    def forget(self, local: int) -> None:
        self.loaded = {variable: first for variable, first in self.loaded.items() if variable[0] != local}

    def look(self, site: Placed) -> None:
        match site.kind:
            case "load_attribute" | "load_item" if site.traits & Trait.UPDATE:
                self.update = site
            case "load_attribute" if site.operands[0].of == "local":
                self.load(site)
            case "store_attribute" | "store_item":
                self.store(site)

    def load(self, site: Placed) -> None:
        """The first load of a variable stands for all in the stretch."""
        first = self.loaded.setdefault((site.operands[0].value, site.name), site.offset)
        if first != site.offset:
            earlier = self.placed[first]
            self.placed[first] = earlier._replace(traits=earlier.traits | site.traits)
            del self.placed[site.offset]

    def store(self, site: Placed) -> None:
        """The store of an update stands for its load."""
        load, self.update = self.update, None
        if load and load.name == site.name and site.traits & Trait.UPDATE:
            del self.placed[load.offset]
