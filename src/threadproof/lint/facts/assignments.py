"""Assignments: what is written where, and what it was computed from."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, ClassVar

from threadproof.lint.facts.accesses import Check, span_of
from threadproof.lint.facts.expressions import Expressions, names_in
from threadproof.lint.facts.model import Access, Pair
from threadproof.lint.facts.references import NOTHING, Ref, key_text
from threadproof.lint.knowledge.containers import VIEWS

# Accesses whose result another value is computed from.
COMPUTED_FROM = frozenset({"read", "get", "getitem", "iterate", "copy"})
EMPTY = frozenset(
    {"list", "dict", "set", "const:0", "const:''", "const:b''", "call:builtins.list", "call:builtins.dict",
     "call:builtins.set", "call:collections.deque", "call:collections.defaultdict",
     "call:collections.OrderedDict"}
)  # fmt: skip


class Assignments(Expressions):
    """Walks the assignments of one function."""

    def visit_assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.assign_name(node.targets[0].id, node.value, node)
            return
        before = len(self.function.accesses)
        calls = len(self.function.calls)
        value = self.visit(node.value)
        for target in node.targets:
            self.store(target, node, node.value, value, before)
            if len(self.function.calls) > calls:
                self.put_into(self.resolve(target).name, node.value)

    def visit_annassign(self, node: ast.AnnAssign) -> None:
        self.declare(node)
        if node.value is None:
            return
        if isinstance(node.target, ast.Name):
            self.assign_name(node.target.id, node.value, node)
        else:
            before = len(self.function.accesses)
            value = self.visit(node.value)
            self.store(node.target, node, node.value, value, before)

    def declare(self, node: ast.AnnAssign) -> None:
        """Note the type of an attribute, and the lock that `Annotated[..., GuardedBy("_lock")]` gives it."""
        target = self.resolve(node.target).name
        owner, _, name = target.rpartition(".")
        found = self.module.classes.get(owner)
        if found is None:
            return
        annotation = self.annotated(node.annotation)
        if annotation:
            found.annotations[name] = annotation
        for part in ast.walk(node.annotation):
            if (
                isinstance(part, ast.Call)
                and self.resolve(part.func).name.endswith("GuardedBy")
                and part.args
            ):
                lock = part.args[0]
                if isinstance(lock, ast.Constant):
                    found.guards[name] = str(lock.value)

    def assign_name(self, name: str, value: ast.expr, node: ast.AST | None = None) -> Ref:
        """Bind a variable; remember which object it is, and what it was looked up in."""
        before, calls = len(self.function.accesses), len(self.function.calls)
        checks = self.test(value) if isinstance(value, ast.Compare) else ()
        ref = NOTHING if checks else self.visit(value)
        looked = self.function.accesses[before:]
        self.drop_checks(name)
        self.bound_checks.pop(name, None)
        self.derived.pop(name, None)
        self.values.pop(name, None)
        if checks:
            self.bound_checks[name] = checks[0]
        elif looked and isinstance(value, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            kind = {"getitem": "get", "get": "get", "len": "len", "read": "none", "pop": "pop"}
            if looked[-1].kind in kind:
                self.bound_checks[name] = Check(looked[-1], kind[looked[-1].kind], True)
            if looked[-1].kind == "read" and isinstance(value, ast.Name | ast.Attribute):
                self.taken[looked[-1].place] = looked[-1]
        target = self.named(name)
        if len(self.function.calls) > calls:
            self.put_into(target.name, value)
        self.write(target, node or value, value, before)
        if name not in self.bound_checks and self.is_computed(value):
            self.derived[name] = [access for access in looked if access.kind in COMPUTED_FROM]
        if is_view(value):
            ref = self.resolve(value.func.value)  # type: ignore[attr-defined]
        if ref.name and self.binds_here(name):
            self.values[name] = ref._replace(alias=name)
        return ref

    def put_into(self, target: str, value: ast.expr) -> None:
        """Note the place of what the last call returns: a variable, or the list of a comprehension."""
        if isinstance(value, ast.Call):
            self.function.calls[-1].into = target
        elif target and isinstance(value, ast.ListComp) and isinstance(value.elt, ast.Call):
            self.function.calls[-1].into = f"{target}[]"

    def is_computed(self, value: ast.expr) -> bool:
        """Whether a value is computed from what it looks at, and from little else."""
        if isinstance(value, ast.Call):
            called = self.resolve(value.func).name
            return called.startswith("builtins.") or called.endswith(".copy")
        return isinstance(value, ast.BinOp | ast.ListComp | ast.SetComp | ast.DictComp)

    def binds_here(self, name: str) -> bool:
        """Whether the variable is this function's own, and no other function can change it."""
        return name in self.scope.bound and name not in self.scope.shared and self.scope.is_function

    def drop_checks(self, name: str) -> None:
        """A key that is bound anew is another key."""
        self.checks = tuple(check for check in self.checks if check.access.key != name)

    def store(self, target: ast.expr, node: ast.stmt, value: ast.expr, ref: Ref, before: int) -> None:
        if isinstance(target, ast.Attribute):
            self.write(self.base(target.value).dot(target.attr), node, value, before)
        elif isinstance(target, ast.Subscript):
            inner = self.base(target.value)
            self.visit(target.slice)
            self.write(inner, node, value, before, key_text(target.slice))
        elif isinstance(target, ast.Tuple | ast.List):
            pairs = (
                value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) else None
            )
            for number, part in enumerate(target.elts):
                self.store(part, node, pairs[number] if pairs else ast.Constant(...), NOTHING, before)
        elif isinstance(target, ast.Starred):
            self.store(target.value, node, value, ref, before)
        elif isinstance(target, ast.Name):
            self.forget(target)
            self.drop_checks(target.id)
            self.write(self.named(target.id), node, value, before)

    def write(self, ref: Ref, node: ast.AST, value: ast.expr, before: int, key: str = "") -> None:
        """Note a write; one whose value was read from the same place is an update."""
        kind = "setitem" if key else "write"
        same = [a for a in self.function.accesses[before:] if a.place == ref.name and a.key == key]
        if accumulates(value) and any(access.kind in ("read", "get", "getitem") for access in same):
            kind = "augmentitem" if key else "augment"
        described = "expr" if isinstance(value, ast.Constant) and value.value is ... else self.describe(value)
        if described.endswith("threading.Condition") and isinstance(value, ast.Call) and value.args:
            self.module.wraps[ref.name] = self.resolve(value.args[0]).name
        access = self.note(ref, kind, node, key, described)
        if access is None:
            return
        if kind in ("write", "setitem"):
            self.note_stale(access, value)
            self.note_swap(access, value, before)
        if not key:
            self.unbind(ref.name)

    def note_stale(self, access: Access, value: ast.expr) -> None:
        """A value computed from what the place held before is a lost update in two steps."""
        for name in names_in(value):
            read = list(self.derived.get(name, ()))
            if not isinstance(value, ast.Name) and name in self.bound_checks:
                read.append(self.bound_checks[name].access)
            for one in read:
                if one.place == access.place and one.key == access.key:
                    self.function.pairs.append(Pair(one, access, "stale", None))
                    return

    def note_swap(self, access: Access, value: ast.expr, before: int) -> None:
        """The content is taken, and an empty one put in its place: what is added in between is lost."""
        taken = self.taken.pop(access.place, None)
        if taken is None and isinstance(value, ast.List | ast.Dict):
            reads = self.function.accesses[before:-1]  # out, self.items = self.items, []
            taken = next((read for read in reads if read.place == access.place and read.kind == "read"), None)
        if taken is not None and access.kind == "write" and access.value in EMPTY:
            self.function.pairs.append(Pair(taken, access, "swap", None))
        if isinstance(value, ast.Attribute):
            reads = self.function.accesses[before:-1]
            self.taken.update({read.place: read for read in reads if read.span == span_of(value)})

    def unbind(self, place: str) -> None:
        """Variables that hold the old object of a place are no aliases of the new one."""
        for name, ref in list(self.values.items()):
            if ref.alias and ref.name.startswith(place):
                del self.values[name]

    def visit_augassign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        target = node.target
        if isinstance(target, ast.Subscript):
            inner = self.base(target.value)
            self.visit(target.slice)
            self.note(inner, "augmentitem", node, key_text(target.slice))
        elif isinstance(target, ast.Attribute):
            self.note(
                self.base(target.value).dot(target.attr), "augment", node, "", self.describe(node.value)
            )
        else:
            ref = self.named(target.id)
            if not ref.alias:
                self.note(ref, "augment", node, "", self.describe(node.value))
            self.values.pop(target.id, None)
            self.drop_checks(target.id)
            if target.id in self.bound_checks:
                self.derived[target.id] = [self.bound_checks[target.id].access]

    def visit_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                inner = self.base(target.value)
                self.visit(target.slice)
                self.note(inner, "delitem", node, key_text(target.slice))
            elif isinstance(target, ast.Attribute):
                self.note(self.base(target.value).dot(target.attr), "delete", node)
            elif isinstance(target, ast.Name):
                self.note(self.named(target.id), "delete", node)
                self.values.pop(target.id, None)

    STATEMENTS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        ast.Assign: visit_assign,
        ast.AnnAssign: visit_annassign,
        ast.AugAssign: visit_augassign,
        ast.Delete: visit_delete,
    }


def is_view(value: ast.expr) -> bool:
    """`d.values()`, which is iterated as `d` itself."""
    return (
        isinstance(value, ast.Call)
        and not value.args
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in VIEWS
    )


def accumulates(value: ast.expr) -> bool:
    """`n + 1` and `max(n, other)`: the new value depends on the old."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in ("max", "min")
    return isinstance(value, ast.BinOp)
