"""Accesses: each use of a place, with the locks held and the checks in force."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING

from threadproof.lint.facts.model import Access, Function, Held, Module, Pair, Span
from threadproof.lint.facts.references import Ref, References
from threadproof.lint.facts.scopes import FunctionNode, Scope
from threadproof.lint.knowledge.containers import WRITES

if TYPE_CHECKING:
    from threadproof.lint.facts.expressions import Expressions


@dataclass(slots=True)
class Check:
    """A test on which the code that follows depends; see model.Pair."""

    access: Access
    how: str
    present: bool | None
    refuses: bool = False  # where it fails, an error is raised

    def turned(self) -> Check:
        return Check(self.access, self.how, None if self.present is None else not self.present)


def span_of(node: ast.AST) -> Span:
    assert isinstance(node, ast.expr | ast.stmt | ast.excepthandler)
    return Span(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0)


class Accesses(References):
    """Notes the accesses of one function."""

    def __init__(
        self,
        module: Module,
        scope: Scope,
        function: Function,
        outer: References | None,
        later: Callable[[FunctionNode, Expressions], str],
    ) -> None:
        super().__init__(module, scope, function, outer)
        self.later = later  # takes a function found inside this one, to be walked afterwards
        self.held: Held = ()
        self.caught: tuple[str, ...] = ()
        self.loop = 0
        self.checks: tuple[Check, ...] = ()
        self.bound_checks: dict[str, Check] = {}  # variable -> what its value was taken from
        self.derived: dict[str, list[Access]] = {}  # variable -> what its value was computed from
        self.taken: dict[str, Access] = {}  # place -> the read whose value was put somewhere else
        self.sections = 0
        self.discarding: ast.expr | None = None
        self.awaiting: ast.expr | None = None

    def is_place(self, ref: Ref) -> bool:
        """Whether threads can share what the reference names."""
        name = ref.name
        if not name or ref.owned or "()" in name or name.endswith("__dict__"):
            return False
        function, found, local = name.rpartition(".<locals>.")
        if found:
            return self.is_shared_local(function, local.partition(".")[0].removesuffix("[]"))
        own = self.module.name
        if name.startswith(own + "."):
            return (
                name.count(".") > own.count(".") + 1
                or name[len(own) + 1 :].removesuffix("[]") in self.module.variables
            )
        return name.partition(".")[0] == own.partition(".")[0] and "." in own

    def is_shared_local(self, function: str, name: str) -> bool:
        here: References | None = self
        while here is not None and here.function.ref != function:
            here = here.outer
        return here is not None and name in here.scope.shared

    def note(self, ref: Ref, kind: str, node: ast.AST, key: str = "", value: str = "") -> Access | None:
        """Note an access, and the check it depends on, if there is one."""
        if not self.is_place(ref):
            return None
        place, key = intern(ref.name), intern(key)
        access = Access(
            place,
            kind,
            span_of(node),
            self.held,
            key,
            intern(value),
            self.caught,
            self.loop,
            ref.alias,
            ref.common,
        )
        self.function.accesses.append(access)
        if self.checks and kind in WRITES:
            self.note_sections(access)
            if kind in ("append", "add") or (kind == "write" and self.is_handed_in(value)):
                self.note_flag(access)
        for check in reversed(self.checks):
            if (
                check.access.place == ref.name
                and check.how != "flag"
                and (not key or not check.access.key or check.access.key == key)
            ):
                self.function.pairs.append(Pair(check.access, access, check.how, check.present))
                break
        return access

    def is_handed_in(self, value: str) -> bool:
        """Whether a value written is what the caller gives, as a callback."""
        given = value.removeprefix(f"ref:{self.function.ref}.<locals>.")
        return value == "tuple" or (given != value and given in self.function.params)

    def note_flag(self, access: Access) -> None:
        """Something is added, or kept for later, because a flag of the same object is not set yet."""
        owner = access.place.rpartition(".")[0]
        for check in self.checks:
            if (
                check.how in ("truth", "flag", "query", "none")
                and not (check.refuses and access.kind == "write")
                and check.access.place.rpartition(".")[0] == owner != self.module.name
            ):
                self.function.pairs.append(Pair(check.access, access, "flag", check.present))

    def note_sections(self, access: Access) -> None:
        """Something is changed in one critical section because of a test in another one of the same lock."""
        owner = access.place.rpartition(".")[0]
        now = {hold.lock: hold.section for hold in access.held if hold.section > 0}
        for check in self.checks:
            test = check.access
            if test.place == access.place or test.place.rpartition(".")[0] != owner:
                continue
            if any(now.get(hold.lock, hold.section) > hold.section > 0 for hold in test.held):
                self.function.pairs.append(Pair(test, access, "sections", check.present))
