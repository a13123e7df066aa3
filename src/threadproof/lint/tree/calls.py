"""The call graph, with the locks of all callers, and the functions that run only during set-up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from threadproof.lint.facts.model import Access, Call, Function, Held
from threadproof.lint.tree.index import NO_NAMES, Tree

ANY_LOCK: Final = "*"  # the caller holds a lock, and it is not known which

CONSTRUCTORS: Final = frozenset(
    {
        "__init__",
        "__new__",
        "__post_init__",
        "__attrs_post_init__",
        "__init_subclass__",
        "__set_name__",
        "__setstate__",
        "__getstate__",
        "__reduce__",
        "__copy__",
        "__deepcopy__",
        "__class_getitem__",
        "setUp",
        "setUpClass",
        "setup_method",
        "<module>",
        "<class>",
    }
)
TEARDOWN: Final = frozenset(
    {"__del__", "tearDown", "tearDownClass", "teardown_method", "__exit__", "__repr__", "__str__"}
)


AFTER_FORK: Final = re.compile(
    r"(after_?|at_?)fork|fork_(child|handler)|_reinit_lock|reinit_after", re.IGNORECASE
)


class Edge(NamedTuple):
    """A call from one function of the tree to another."""

    caller: Function
    call: Call


class Calls:
    """The call graph of a tree, and what follows from it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.callers: defaultdict[str, list[Edge]] = defaultdict(list)
        self.callees: defaultdict[str, list[tuple[Call, Function]]] = defaultdict(list)
        self.escaped: set[str] = set()  # functions handed on as values
        self.given_away: set[str] = set()  # those of them that other objects are given
        self.after_fork: set[str] = set()  # functions that run in a new process, which has one thread
        for function in tree.functions.values():
            for call in function.calls:
                self.add_call(function, call)
            self.add_escapes(function)
        self.setup = self.find_setup()
        self.entry_locks = self.find_entry_locks()

    def add_call(self, function: Function, call: Call) -> None:
        for callee in self.tree.called(call.target):
            self.callers[callee.ref].append(Edge(function, call))
            self.callees[function.ref].append((call, callee))
        if call.method in ("register_at_fork", "register_after_fork"):
            every = [name for one in function.calls for name in one.args]
            for name in (*every, *(value for _, value in call.keywords)):
                self.after_fork.update(target.ref for target in self.function_named(name))
        for name in (*call.args, *(value for _, value in call.keywords)):
            for target in self.function_named(name):
                self.escaped.add(target.ref)
                self.given_away.add(target.ref)

    def function_named(self, name: str) -> Sequence[Function]:
        """The functions that a reference used as a value may be."""
        if not name or name.endswith(("()", "[]")):
            return []
        found = self.tree.functions.get(name)
        if found is not None:
            return [found]
        if "<locals>" in name and name not in self.tree.given:
            return []  # nothing is known of most local variables, and most arguments are
        return [] if self.tree.resolve(name) in self.tree.classes else self.tree.called(name)

    def add_escapes(self, function: Function) -> None:
        for access in function.accesses:
            if access.kind == "read" and access.place.rpartition(".")[0] in self.tree.classes:
                owner, _, name = access.place.rpartition(".")
                method = self.tree.method(owner, name)
                if method is not None and not is_property(method):
                    self.escaped.add(method.ref)
                elif method is not None:
                    self.add_property(function, access, method)
            elif access.kind == "write" and access.value.startswith("ref:"):
                found = {one.ref for one in self.function_named(access.value[4:])}
                self.escaped |= found
                if access.place.rpartition(".")[0] != function.owner:
                    self.given_away |= found
        for name in function.returned:
            found = {one.ref for one in self.function_named(name)} - {function.ref}
            self.escaped |= found
            self.given_away |= found

    def add_property(self, function: Function, access: Access, method: Function) -> None:
        """Reading a property runs its getter."""
        call = Call(method.ref, "", access.span, access.held, caught=access.caught, loop=access.loop)
        self.callers[method.ref].append(Edge(function, call))
        self.callees[function.ref].append((call, method))

    # --- set-up ---

    def find_setup(self) -> set[str]:
        """The functions that only run while an object or module is set up, before any thread can see it."""
        setup = {ref for ref, function in self.tree.functions.items() if is_setup(function)} | self.after_fork
        grown = True
        while grown:
            grown = False
            for ref, edges in self.callers.items():
                function = self.tree.functions[ref]
                if ref in setup or ref in self.escaped or not is_private(function):
                    continue
                if all(edge.caller.ref in setup and self.same_object(edge, function) for edge in edges):
                    setup.add(ref)
                    grown = True
        return setup

    def same_object(self, edge: Edge, function: Function) -> bool:
        """Whether a call during set-up is on the object that is set up, or there is none."""
        if edge.caller.is_body or not edge.caller.owner or not function.owner:
            return True
        one, two = edge.caller.owner, function.owner
        return two in self.tree.mro(one) or one in self.tree.mro(two)

    # --- locks of the callers ---

    def find_entry_locks(self) -> dict[str, frozenset[str]]:
        """The locks held by all callers of each function, and by their callers."""
        everything = frozenset({"<not called yet>"})
        locks: dict[str, frozenset[str]] = {}
        open_: set[str] = set()
        for ref, function in self.tree.functions.items():
            locks[ref] = frozenset({ANY_LOCK}) if "requires" in function.notes else NO_NAMES
            if not locks[ref] and self.inherits_locks(function):
                locks[ref] = everything
                open_.add(ref)
        edges = {ref: self.lock_edges(ref) for ref in open_}
        waiting = list(open_)
        while waiting:
            ref = waiting.pop()
            now = common_locks(edges[ref], locks, everything)
            if now != locks[ref]:
                locks[ref] = now
                waiting += [callee.ref for _, callee in self.callees[ref] if callee.ref in open_]
        return {ref: NO_NAMES if held == everything or not held else held for ref, held in locks.items()}

    def inherits_locks(self, function: Function) -> bool:
        """Whether all callers of a function are known, so that their locks are its own."""
        if not self.callers.get(function.ref) or function.is_body or function.ref in self.escaped:
            return False
        return not (function.name.startswith("__") and function.name.endswith("__"))

    def lock_edges(self, callee: str) -> list[tuple[str, frozenset[str]]]:
        """The callers of a function, with the locks that each holds at the call; not those of set-up."""
        function = self.tree.functions[callee]
        return [
            (edge.caller.ref, frozenset(self.tree.locks(edge.call.held)) if edge.call.held else NO_NAMES)
            for edge in self.callers[callee]
            if edge.caller.ref not in self.setup or not self.same_object(edge, function)
        ]

    def locks_at(self, function: Function, held: Held) -> frozenset[str]:
        """All locks that are held at a point of a function, by itself or by every caller."""
        above = self.entry_locks[function.ref]
        return frozenset(self.tree.locks(held)) | above if held else above


def common_locks(
    edges: list[tuple[str, frozenset[str]]], locks: dict[str, frozenset[str]], everything: frozenset[str]
) -> frozenset[str]:
    """The locks that all callers hold, as far as it is known which those of the callers are."""
    common: frozenset[str] | None = None
    waiting = False  # for callers whose own callers are not known yet
    for caller, held in edges:
        above = locks[caller]
        if above == everything:
            waiting = True
            continue
        here = held | above if held else above
        if common is None or ANY_LOCK in common:
            common = here if common is None or here else NO_NAMES
        elif ANY_LOCK not in here:
            common &= here
    if common is None:
        return everything if waiting else NO_NAMES
    return common


def is_setup(function: Function) -> bool:
    return function.name in CONSTRUCTORS or bool(AFTER_FORK.search(function.name))


def is_private(function: Function) -> bool:
    if function.name.startswith("__") and function.name.endswith("__"):
        return False
    return function.name.startswith("_") or "<locals>" in function.ref or not function.owner


def is_property(function: Function) -> bool:
    return any(name.rpartition(".")[2] in ("property", "cached_property") for name in function.decorators)
