"""Conditions: the checks that hold where a test is true, or was false."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from threadproof.lint.facts.accesses import Accesses, Check, span_of
from threadproof.lint.facts.references import NOTHING, Ref, is_none, key_text

COMPARE, ORDER = "compare", "order"  # the forms of a comparison: for equality, and for what is larger
ASKED = "asked"  # the kind of an access to a method of the same object whose result is tested
# Methods that tell the state of an object, which may be another one at once.
QUERIES = frozenset({"is_set", "isSet", "is_alive", "isAlive", "done", "empty", "full", "qsize", "cancelled"})


class Conditions(Accesses):
    """Walks the tests of one function."""

    def visit(self, node: ast.expr) -> Ref:
        raise NotImplementedError  # in expressions.py

    def visit_all(self, nodes: Iterable[ast.expr | None]) -> None:
        raise NotImplementedError

    def base(self, node: ast.expr) -> Ref:
        raise NotImplementedError

    def assign_name(self, name: str, value: ast.expr) -> Ref:
        raise NotImplementedError  # in assignments.py

    def visit_compare(self, node: ast.Compare) -> Ref:
        self.test(node)
        return NOTHING

    def visit_boolop(self, node: ast.BoolOp) -> Ref:
        self.test(node)
        return NOTHING

    def visit_unary(self, node: ast.UnaryOp) -> Ref:
        if isinstance(node.op, ast.Not):
            self.test(node)
            return NOTHING
        return self.visit(node.operand)

    def visit_ifexp(self, node: ast.IfExp) -> Ref:
        outside = self.checks
        found = self.test(node.test)
        self.checks = outside + found
        self.visit(node.body)
        self.checks = outside + tuple(check.turned() for check in found)
        self.visit(node.orelse)
        self.checks = outside
        return NOTHING

    def test(self, node: ast.expr) -> tuple[Check, ...]:
        """Walk a condition; return the checks that hold where it is true."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return tuple(check.turned() for check in self.test(node.operand))
        if isinstance(node, ast.BoolOp):
            return self.test_several(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self.test_one(node)
        if isinstance(node, ast.Compare):
            self.visit_all([node.left, *node.comparators])
            return ()
        if isinstance(node, ast.NamedExpr):
            return self.test_named(node)
        if isinstance(node, ast.Name) and node.id in self.bound_checks:
            return (self.bound_checks[node.id],)
        if isinstance(node, ast.Name | ast.Attribute):
            return self.test_truth(node)
        if isinstance(node, ast.Call):
            return self.test_call(node)
        self.visit(node)
        return ()

    def test_several(self, node: ast.BoolOp) -> tuple[Check, ...]:
        """`and`: each holds while the next is evaluated. `or`: none is certain."""
        outside = self.checks
        found: tuple[Check, ...] = ()
        for value in node.values:
            one = self.test(value)
            found += one
            self.checks += one if isinstance(node.op, ast.And) else tuple(check.turned() for check in one)
        self.checks = outside
        if isinstance(node.op, ast.And):
            return found
        return tuple(Check(check.access, check.how, check.present) for check in found)

    def test_one(self, node: ast.Compare) -> tuple[Check, ...]:
        (op,), (right,) = node.ops, node.comparators
        if isinstance(op, ast.In | ast.NotIn):
            self.visit(node.left)
            container = right
            if (
                isinstance(right, ast.Call)
                and isinstance(right.func, ast.Attribute)
                and right.func.attr == "keys"
            ):
                container = right.func.value
            ref = self.base(container)
            access = self.note(ref, "contains", node, key_text(node.left))
            return (Check(access, "contains", isinstance(op, ast.In)),) if access else ()
        if is_none(right) and isinstance(op, ast.Is | ast.IsNot | ast.Eq | ast.NotEq):
            found = self.test_none(node.left)
            present = isinstance(op, ast.IsNot | ast.NotEq)
            return tuple(Check(check.access, check.how, present) for check in found)
        if isinstance(op, ast.Is | ast.IsNot) and isinstance(right, ast.Name | ast.Attribute):
            self.visit(right)  # a sentinel: `self.events is EMPTY`
            found = self.test_none(node.left)
            return tuple(Check(check.access, check.how, isinstance(op, ast.IsNot)) for check in found)
        how = ORDER if isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) else COMPARE
        checks = [self.compared(side, how) for side in (node.left, right)]
        return tuple(check for check in checks if check)

    def test_none(self, node: ast.expr) -> tuple[Check, ...]:
        if isinstance(node, ast.NamedExpr):
            return self.test_named(node)
        if isinstance(node, ast.Name) and node.id in self.bound_checks:
            return (self.bound_checks[node.id],)
        return self.noted_last(node, "none")

    def test_truth(self, node: ast.Name | ast.Attribute) -> tuple[Check, ...]:
        before = len(self.function.accesses)
        ref = self.visit(node)
        if ref.alias:
            access = self.note(ref, "truth", node)
            return (Check(access, "truth", True),) if access else ()
        found = self.function.accesses[before:]
        if not found or found[-1].place != ref.name:
            return ()
        return (Check(found[-1], "truth", True),)

    def test_call(self, node: ast.Call) -> tuple[Check, ...]:
        """`d.get(k)`, `len(d)`, `hasattr(self, "x")` and `lock.acquire(False)` as conditions."""
        if isinstance(node.func, ast.Name) and node.func.id == "hasattr" and len(node.args) == 2:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                access = self.note(self.base(node.args[0]).dot(name.value), "hasattr", node)
                return (Check(access, "none", True),) if access else ()
        found = self.noted_last(node, "")
        kinds = {"get": "get", "len": "len", "__contains__": "contains", "has_key": "contains"}
        known = tuple(
            Check(check.access, kinds[check.access.kind], True)
            for check in found
            if check.access.kind in kinds and check.access.span == span_of(node)
        )
        return known or self.test_query(node)

    def test_query(self, node: ast.Call) -> tuple[Check, ...]:
        """`self._stopped.is_set()` and `self.done()`: calls that ask for a flag."""
        if not isinstance(node.func, ast.Attribute) or node.args or node.keywords:
            return ()
        asked = self.resolve(node.func)
        if asked.name.rpartition(".")[0] == self.owner() and not asked.alias:
            access = self.note(asked, ASKED, node)
            return (Check(access, "query", True),) if access else ()
        last = self.function.accesses[-1] if self.function.accesses else None
        if node.func.attr in QUERIES and last is not None and last.span == span_of(node.func):
            return (Check(last, "query", True),)
        return ()

    def test_named(self, node: ast.NamedExpr) -> tuple[Check, ...]:
        self.assign_name(node.target.id, node.value)
        found = self.bound_checks.get(node.target.id)
        return (found,) if found else ()

    def compared(self, node: ast.expr, comparison: str) -> Check | None:
        """`len(d) > 3`, `self.count < limit`, or a variable with such a value."""
        if isinstance(node, ast.Name) and node.id in self.bound_checks:
            found = self.bound_checks[node.id]
            return Check(found.access, "len" if found.how == "len" else comparison, None)
        for check in self.noted_last(node, comparison):
            how = {"len": "len", "get": "get"}.get(check.access.kind, comparison)
            return Check(check.access, how, None if how != "len" else True)
        return None

    def noted_last(self, node: ast.expr, how: str) -> tuple[Check, ...]:
        """Walk an expression; a check on the access that it ends in, if it is nothing but one."""
        before = len(self.function.accesses)
        self.visit(node)
        found = self.function.accesses[before:]
        if not found or not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            return ()
        last = found[-1]
        names = {"getitem": "get", "get": "get", "len": "len"}
        return (Check(last, names.get(last.kind, how) or how, True),)

    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Ref]]] = {
        ast.Compare: visit_compare,
        ast.BoolOp: visit_boolop,
        ast.UnaryOp: visit_unary,
        ast.IfExp: visit_ifexp,
    }
