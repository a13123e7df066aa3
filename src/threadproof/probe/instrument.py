"""From a code object to its sites: the instructions that may access something that threads share.

`sites_of(code, stored)` reads the bytecode. For each site it has the kind, the name that the instruction
uses, and the flags that its neighbours show: `+=` compiles to a copy, a load, an operation and a store.
Nothing here runs or changes code.
"""

from __future__ import annotations

import builtins
import opcode
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from threadproof.consumers import OPCODES, named_in
from threadproof.probe.flags import AccessFlag
from threadproof.probe.placement import Instruction, Placement, Site, place_sites

OPTIMIZED = 0x1  # of co_flags: a function's body; a module's or a class's has none of it
FIRST_INPLACE = 13  # BINARY_OP's argument from += on
OPERATIONS: Sequence[tuple[str, str]] = getattr(opcode, "_nb_ops", ())  # BINARY_OP's, by argument
SUBSCRIPT = next((i for i, (name, _) in enumerate(OPERATIONS) if name == "NB_SUBSCR"), -1)
LOOK_BACK = 16  # instructions between the name of a builtin and its call: more than most argument lists

OF_ATTRIBUTES = {"getattr", "hasattr", "setattr", "delattr", "vars"}
# Rows of consumers.py that are types, or builtins: their calls are sites. Functions are intercepted.
OF_TYPES = ("collections", "itertools", "array")
BUILTIN_CALLS = {"len", *OF_ATTRIBUTES, *named_in("builtins")}
TYPE_CALLS = {name for owner in OF_TYPES for name in named_in(owner)}
LONGEST_CALL = 8  # arguments of a call of one of these that is a site: more are rare
NUMBERS = ("LOAD_SMALL_INT", "LOAD_CONST")  # a constant is not a container; the other operand rarely is
# BINARY_OP's operations on containers, also in place: + on lists, the others on sets and dicts, * on lists.
COMBINING = {"NB_ADD", "NB_SUBTRACT", "NB_AND", "NB_OR", "NB_XOR", "NB_MULTIPLY"}

# Since 3.15 a generator expression gets its iterator before its first instruction: its call is the site.
GENERATES = "<genexpr>" if sys.version_info >= (3, 15) else ""
IMPORT_FLAGS = 2 if sys.version_info >= (3, 15) else 0  # bits of IMPORT_NAME's argument: lazy or eager


@dataclass(frozen=True)
class Stored:
    """The names that a source file stores again: only those can race as globals or captured variables."""

    globals: frozenset[str]
    cells: frozenset[str]
    once: frozenset[str] = frozenset()  # globals that the file stores once, but another file may store again

    def __or__(self, other: Stored) -> Stored:
        return Stored(self.globals | other.globals, self.cells | other.cells, self.once | other.once)


def instructions(code: CodeType) -> Iterator[Instruction]:
    """The code's instructions as compiled, without caches and prefixes."""
    extended = 0
    for offset in range(0, len(code.co_code), 2):
        operation, argument = code.co_code[offset], code.co_code[offset + 1]
        name = opcode.opname[operation]
        if name == "CACHE":
            continue
        argument |= extended
        extended = argument << 8 if name == "EXTENDED_ARG" else 0
        if name != "EXTENDED_ARG":
            yield Instruction(offset, name, argument)


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code, and all code that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


GLOBAL_STORES = ("STORE_GLOBAL", "DELETE_GLOBAL")
STORES = {
    opcode.opmap[name]
    for name in (*GLOBAL_STORES, "STORE_DEREF", "DELETE_DEREF", "STORE_NAME", "DELETE_NAME")
}


def stored_names(code: CodeType) -> Stored:
    """The names that the code of one file stores again: by `global`, by `nonlocal`, or twice at its top."""
    stored: set[str] = set()
    cells: set[str] = set()
    for part in nested(code):
        if not STORES & {*part.co_code[::2]}:
            continue
        listing = list(instructions(part))
        stored.update(part.co_names[each.argument] for each in listing if each.name in GLOBAL_STORES)
        cells.update(stored_cells(part, listing))
    top = [each for each in instructions(code) if each.name in ("STORE_NAME", "DELETE_NAME")]
    names = {code.co_names[each.argument] for each in top}
    again = {code.co_names[each.argument] for each in repeated(top, list(instructions(code)))}
    return Stored(frozenset(stored | again), frozenset(cells), frozenset(names - again - stored))


def stored_cells(code: CodeType, listing: list[Instruction]) -> Iterator[str]:
    """Captured variables that a nested function stores, or that their own function stores again."""
    stores = [each for each in listing if each.name in ("STORE_DEREF", "DELETE_DEREF")]
    own = [each for each in stores if variable_name(code, each.argument) in code.co_cellvars]
    for each in stores:
        if variable_name(code, each.argument) in code.co_freevars:
            yield variable_name(code, each.argument)
    again = repeated(own, listing)
    for each in own:  # an argument is stored once before, by the call
        name = variable_name(code, each.argument)
        if each in again or name in code.co_varnames:
            yield name


def repeated(stores: list[Instruction], listing: list[Instruction]) -> list[Instruction]:
    """Those that store the same name as another one, or that run more than once, in a loop."""
    loops = [(target_of(each), each.offset) for each in listing if each.name.startswith("JUMP_BACKWARD")]
    arguments = [each.argument for each in stores]
    return [
        each
        for each in stores
        if arguments.count(each.argument) > 1 or any(begin < each.offset < end for begin, end in loops)
    ]


def target_of(jump: Instruction) -> int:
    """Of a jump backward; or two bytes before its target, because the jump's cache is not counted."""
    return jump.offset + 2 - 2 * jump.argument


def variable_name(code: CodeType, index: int) -> str:
    """The name of a local variable or cell, by its place in the frame."""
    local = code.co_varnames + tuple(name for name in code.co_cellvars if name not in code.co_varnames)
    return (local + code.co_freevars)[index]


def sites_of(
    code: CodeType, stored: Stored, main: bool = False, package: str = "", every: bool = False
) -> list[Placement]:
    """The sites of the code, without those of code nested in it.

    `main`: it is the top level of the program itself. The top level of another module runs while it is
    imported, and that is ordered before all that its importers do. `package`: the one that the module belongs
    to. `every`: also sites whose variable another one in the same basic block covers.
    """
    listing = list(instructions(code))
    disassembly = Disassembly(code, stored, listing, main, every)
    found = (disassembly.site(place) for place in range(len(listing)))
    finaliser = code.co_name == "__del__" and code.co_argcount > 0
    placed = place_sites(
        code, (site for site in found if site is not None), listing, apart=finaliser, every=every
    )
    taken = {site.instrumented for site in placed}
    if finaliser:  # the thread is the object's only owner
        resume = next(each.offset for each in listing if each.name == "RESUME")
        placed.append(free_site(resume, listing, taken, "finalise", None))
    for offset, names in imports(code, listing, package):
        placed.append(free_site(offset, listing, taken, "imported", names))
    return placed


def free_site(
    offset: int, listing: Sequence[Instruction], taken: set[int], kind: str, name: tuple[str, ...] | None
) -> Placement:
    """Instrumented at the next instruction that no other site has taken."""
    free = next(each.offset for each in listing if each.offset > offset and each.offset not in taken)
    taken.add(free)
    return Placement(free, free, kind, 0, 0, name, ())


def imports(
    code: CodeType, listing: Sequence[Instruction], package: str
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(offset, the modules that it may wait for), for each import."""
    for place, (offset, name, argument) in enumerate(listing):
        if name == "IMPORT_NAME":
            level, wanted = (constant_at(code, listing[place - back]) for back in (2, 1))
            yield (
                offset,
                modules_named(code.co_names[argument >> IMPORT_FLAGS], level or 0, wanted or (), package),
            )


def constant_at(code: CodeType, instruction: Instruction) -> Any:
    """The constant that the instruction loads: the level of an import, or its names."""
    if instruction.name == "LOAD_CONST":
        return code.co_consts[instruction.argument]
    return instruction.argument if instruction.name == "LOAD_SMALL_INT" else None


def modules_named(name: str, level: int, wanted: Sequence[str], package: str) -> tuple[str, ...]:
    """`import a.b` may run a and a.b; `from a import b` may run a.b, if that is a module."""
    if level:
        above = package.rsplit(".", level - 1)[0]
        name = f"{above}.{name}" if name else above
    parts = name.split(".")
    packages = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return tuple(map(sys.intern, (*packages, *(f"{name}.{each}" for each in wanted))))


class Disassembly:
    """The instructions of a code object, and the sites among them."""

    def __init__(
        self, code: CodeType, stored: Stored, listing: list[Instruction], main: bool, every: bool = False
    ) -> None:
        self.every = every
        self.code = code
        self.stored = stored
        self.listing = listing
        self.at_top = main and not code.co_flags & OPTIMIZED
        self.generates = GENERATES and any(
            getattr(each, "co_name", "") == GENERATES for each in code.co_consts
        )

    def name_at(self, place: int) -> str:
        return self.listing[place].name if 0 <= place < len(self.listing) else ""

    def inplace(self, place: int) -> bool:
        return self.name_at(place) == "BINARY_OP" and self.listing[place].argument >= FIRST_INPLACE

    def load_flags(self, place: int) -> AccessFlag:
        """UPDATE for the load of `x.n += 1`, which follows a copy; CHECK for that of `if x.n`."""
        flags = AccessFlag.UPDATE if self.name_at(place - 1) == "COPY" else AccessFlag(0)
        return flags | AccessFlag.CHECK if self.decides(place + 1) else flags

    def decides(self, place: int) -> bool:
        name = self.name_at(place)
        if name == "LOAD_CONST":
            return self.name_at(place + 1) == "IS_OP"
        return name.startswith("POP_JUMP") or name in ("TO_BOOL", "IS_OP")

    def store_flags(self, place: int, swaps: int) -> AccessFlag:
        """UPDATE for the store of `x.n += 1`: swaps of the copies come after the operation."""
        between = all(self.name_at(place - 1 - i) == "SWAP" for i in range(swaps))
        return AccessFlag.UPDATE if between and self.inplace(place - 1 - swaps) else AccessFlag(0)

    def site(self, place: int) -> Site | None:
        offset, name, argument = self.listing[place]
        make = SITES.get(name)
        made = make(self, place, argument) if make else None
        if made is None:
            return None
        kind, flags, number, subject = made
        return offset, kind, int(flags), number, sys.intern(subject) if subject else None

    # For each instruction that is not a row of SITES: (kind, flags, argument, name), or None for no site.

    def load_attribute(self, place: int, argument: int) -> Made:
        kind, name = "load_method" if argument & 1 else "load_attribute", self.code.co_names[argument >> 1]
        if name == "__dict__":
            return "load_dict", AccessFlag(0), 0, None
        return kind, self.load_flags(place), 0, name

    def store_attribute(self, place: int, argument: int) -> Made:
        name = self.code.co_names[argument]
        if name == "__dict__" and self.name_at(place) == "STORE_ATTR":
            return "store_dict", AccessFlag(0), 0, None
        return "store_attribute", self.store_flags(place, 1), 0, name

    def operation(self, place: int, argument: int) -> Made | None:
        if argument == SUBSCRIPT:
            return "load_item", self.load_flags(place), 0, None
        name = OPERATIONS[argument][0]
        inplace = name.startswith("NB_INPLACE_")
        if name.replace("INPLACE_", "") not in COMBINING or self.name_at(place - 1) in NUMBERS:
            return None
        return "combine", AccessFlag.UPDATE * inplace, OPCODES["BINARY_OP"], None

    def advance(self, place: int, argument: int) -> Made | None:
        """The begin of an iteration has stood for all of it, unless every access is wanted."""
        return ("advance", AccessFlag(0), 0, None) if self.every else None

    def truth(self, place: int, argument: int) -> Made:
        return "truth", AccessFlag(0), 0, None

    def store_item(self, place: int, argument: int) -> Made:
        return "store_item", self.store_flags(place, 2), 0, None

    def load_global(self, place: int, argument: int) -> Made | None:
        return self.of_global("load_global", place, self.code.co_names[argument >> 1])

    def store_global(self, place: int, argument: int) -> Made | None:
        return self.of_global("store_global", place, self.code.co_names[argument])

    def load_name(self, place: int, argument: int) -> Made | None:
        return self.of_global("load_global", place, self.code.co_names[argument]) if self.at_top else None

    def store_name(self, place: int, argument: int) -> Made | None:
        return self.of_global("store_global", place, self.code.co_names[argument]) if self.at_top else None

    def of_global(self, kind: str, place: int, name: str) -> Made | None:
        if name in self.stored.once and kind == "load_global":
            return "load_once", self.load_flags(place), 0, name
        if name not in self.stored.globals and (not self.every or hasattr(builtins, name)):
            return None
        flags = self.load_flags(place) if kind == "load_global" else self.store_flags(place, 0)
        return kind, flags, 0, name

    def load_cell(self, place: int, argument: int) -> Made | None:
        name = variable_name(self.code, argument)
        return ("load_cell", self.load_flags(place), argument, name) if name in self.stored.cells else None

    def store_cell(self, place: int, argument: int) -> Made | None:
        name = variable_name(self.code, argument)
        return (
            ("store_cell", self.store_flags(place, 0), argument, name) if name in self.stored.cells else None
        )

    def call(self, place: int, argument: int) -> Made | None:
        """A call of a possible builtin that reads containers or attributes; the probe checks the function."""
        if argument == 0 and self.generates:
            return "generate", 0, 0, None
        if not self.every and (not 0 < argument <= LONGEST_CALL or not self.may_be_reader(place)):
            return None
        plain_call, with_names = ("any_call", "any_call_named") if self.every else ("call", "call_named")
        if self.name_at(place) == "CALL":
            return plain_call, argument, argument, None
        named = constant_at(self.code, self.listing[place - 1]) or ()
        return with_names, argument - len(named), argument, None

    def may_be_reader(self, place: int) -> bool:
        return any(self.loads_reader(before) for before in range(place - 1, max(-1, place - LOOK_BACK), -1))

    def loads_reader(self, place: int) -> bool:
        """A builtin is a global; a type of the library may also be a local, or an attribute of its module."""
        _, name, argument = self.listing[place]
        match name:
            case "LOAD_GLOBAL":
                loaded = self.code.co_names[argument >> 1]
                return loaded in BUILTIN_CALLS or loaded in TYPE_CALLS
            case "LOAD_NAME":
                loaded = self.code.co_names[argument]
                return loaded in BUILTIN_CALLS or loaded in TYPE_CALLS
            case "LOAD_ATTR":
                return self.code.co_names[argument >> 1] in TYPE_CALLS
            case "LOAD_FAST" | "LOAD_FAST_BORROW" | "LOAD_DEREF":
                return variable_name(self.code, argument) in TYPE_CALLS
        return False


Made = tuple[str, int, int, str | None]


def plain(kind: str, number: int = 0) -> Callable[[Disassembly, int, int], Made]:
    return lambda code, place, argument: (kind, AccessFlag(0), number, None)


def consuming(name: str, kind: str = "consume") -> dict[str, Callable[[Disassembly, int, int], Made]]:
    """The row of an instruction that goes over a container."""
    return {name: plain(kind, OPCODES[name])}


SITES: dict[str, Callable[[Disassembly, int, int], Made | None]] = {
    "LOAD_ATTR": Disassembly.load_attribute,
    "STORE_ATTR": Disassembly.store_attribute,
    "DELETE_ATTR": Disassembly.store_attribute,
    "BINARY_OP": Disassembly.operation,
    "STORE_SUBSCR": Disassembly.store_item,
    "DELETE_SUBSCR": plain("delete_item"),
    "CONTAINS_OP": plain("contains"),
    "LOAD_GLOBAL": Disassembly.load_global,
    "STORE_GLOBAL": Disassembly.store_global,
    "DELETE_GLOBAL": Disassembly.store_global,
    "LOAD_NAME": Disassembly.load_name,
    "STORE_NAME": Disassembly.store_name,
    "DELETE_NAME": Disassembly.store_name,
    "LOAD_DEREF": Disassembly.load_cell,
    "STORE_DEREF": Disassembly.store_cell,
    "DELETE_DEREF": Disassembly.store_cell,
    "TO_BOOL": Disassembly.truth,
    "GET_LEN": plain("truth"),
    "MATCH_KEYS": plain("match_keys"),
    "MATCH_CLASS": lambda code, place, argument: ("match_class", AccessFlag(0), argument, None),
    "CALL_FUNCTION_EX": plain("spread", OPCODES["CALL_FUNCTION_EX"]),
    **consuming("COMPARE_OP", "compare"),
    **consuming("FORMAT_SIMPLE", "show"),
    **consuming("CONVERT_VALUE", "show"),
    **consuming("GET_ITER"),
    **consuming("GET_YIELD_FROM_ITER"),
    **consuming("DICT_MERGE"),
    **consuming("UNPACK_EX"),
    **consuming("LIST_EXTEND"),
    **consuming("SET_UPDATE"),
    **consuming("DICT_UPDATE"),
    **consuming("UNPACK_SEQUENCE"),
    **consuming("BINARY_SLICE", "load_slice"),
    **consuming("STORE_SLICE", "store_slice"),
    "FOR_ITER": Disassembly.advance,
    "CALL": Disassembly.call,
    "CALL_KW": Disassembly.call,
}
