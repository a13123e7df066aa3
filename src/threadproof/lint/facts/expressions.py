"""Expressions: every use of a place, and every call, in the order of evaluation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import Any, ClassVar

from threadproof.lint.facts.model import Access, Call, Function, Held, Module, Pair, Span
from threadproof.lint.facts.nodes import children
from threadproof.lint.facts.references import NOTHING, Ref, References, is_none, key_text
from threadproof.lint.facts.scopes import FUNCTIONS, FunctionNode, Scope
from threadproof.lint.knowledge.containers import (
    GOES_OVER,
    METHODS,
    SIZES,
    VIEWS,
    WRITES,
    goes_over,
)

# Calls that use a function at once and let go of it: it runs here, with the locks held here.
RUN_AT_ONCE = frozenset(
    {"map", "filter", "sorted", "min", "max", "any", "all", "sum", "sort", "reduce", "sub"}
)


ASKED = "asked"  # the kind of an access to a method of the same object whose result is tested
# Methods that tell the state of an object, which may be another one at once.
QUERIES = frozenset({"is_set", "isSet", "is_alive", "isAlive", "done", "empty", "full", "qsize", "cancelled"})
DEREFERENCE = "dereference"  # the value of a read whose result has an attribute taken: None would fail


@dataclass(slots=True)
class Check:
    """A test on which the code that follows depends; see model.Pair."""

    access: Access
    how: str
    present: bool | None

    def turned(self) -> Check:
        return Check(self.access, self.how, None if self.present is None else not self.present)


def span_of(node: ast.AST) -> Span:
    assert isinstance(node, ast.expr | ast.stmt | ast.excepthandler)
    return Span(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0)


class Expressions(References):
    """Walks expressions of one function and fills in its facts."""

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

    # --- notes ---

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
            place, kind, span_of(node), self.held, key, intern(value), self.caught, self.loop, ref.alias
        )
        self.function.accesses.append(access)
        if self.checks and kind in WRITES:
            self.note_sections(access)
            if kind in ("append", "add"):
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

    def note_flag(self, access: Access) -> None:
        """Something is added to a container because a flag of the same object is not set yet."""
        owner = access.place.rpartition(".")[0]
        for check in self.checks:
            if (
                check.how in ("truth", "flag", "query")
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

    # --- the walk ---

    def visit(self, node: ast.expr) -> Ref:
        """Walk an expression whose value is used; note it as read if it is a place."""
        handler = self.HANDLERS.get(type(node))
        if handler is not None:
            return handler(self, node)
        for child in children(node):
            if isinstance(child, ast.expr):
                self.visit(child)
            elif isinstance(child, ast.keyword):
                self.visit(child.value)
        return NOTHING

    def visit_all(self, nodes: Iterable[ast.expr | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def base(self, node: ast.expr) -> Ref:
        """Walk an expression of which a part is used: note the accesses inside it, not its own."""
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if isinstance(node, ast.Attribute):
            inner = self.base(node.value)
            return inner if node.attr == "__class__" else inner.dot(node.attr)
        if isinstance(node, ast.Subscript):
            inner = self.base(node.value)
            self.visit(node.slice)
            self.note(inner, "getitem", node, key_text(node.slice))
            return Ref(inner.name + "[]", inner.alias, inner.owned) if inner.name else NOTHING
        return self.visit(node)

    def visit_name(self, node: ast.Name) -> Ref:
        ref = self.named(node.id)
        if not ref.alias:
            self.note(ref, "read", node)
        return ref

    def visit_attribute(self, node: ast.Attribute) -> Ref:
        inner = self.base(node.value)
        if node.attr == "__class__":
            return inner
        ref = inner.dot(node.attr)
        if isinstance(node.value, ast.Attribute):
            self.note(inner, "read", node.value, value=DEREFERENCE)
        self.note(ref, "read", node)
        return ref

    def visit_subscript(self, node: ast.Subscript) -> Ref:
        return self.base(node)

    def visit_call(self, node: ast.Call) -> Ref:
        """Note a call; one of a container's methods is an access to the container as well."""
        receiver, method = NOTHING, ""
        if isinstance(node.func, ast.Attribute):
            receiver, method = self.base(node.func.value), node.func.attr
            target = receiver.dot(method)
        else:
            target = self.base(node.func)
        discarded, awaited = self.discarding is node, self.awaiting is node
        if target.name in CHAINS:
            for arg in node.args:
                self.iterate(arg)
            return NOTHING
        args = [self.argument(arg, target.name) for arg in node.args]
        keywords = [(word.arg or "**", self.argument(word.value, target.name)) for word in node.keywords]
        call = Call(
            intern(target.name or f"?.{method}"),
            intern(receiver.name),
            span_of(node),
            self.held,
            args or (),
            keywords or (),
            discarded,
            awaited,
            self.caught,
            self.loop,
            bool(self.checks),
            self.not_set(receiver.name) if self.checks and method else None,
        )
        self.function.calls.append(call)
        change = FUNCTIONS_THAT_CHANGE.get(target.name)
        if change and node.args:
            self.note(self.resolve(node.args[0]), change, node)
        if method in METHODS or method in VIEWS:
            key = key_text(node.args[0]) if node.args and method not in ("update", "extend") else ""
            value = "default" if len(node.args) + len(node.keywords) > 1 else ""
            if method == "setdefault" and len(node.args) > 1:
                value = self.describe(node.args[1])
            self.note(receiver, method, node, key, value)
        elif method:
            self.note(receiver, "read", node.func, value=DEREFERENCE)
        return self.result(node, target)

    def not_set(self, receiver: str) -> Access | None:
        """The test in force that an attribute of an object is None, false or not set."""
        for check in reversed(self.checks):
            test = check.access
            if check.present is False and test.place.rpartition(".")[0] == receiver:
                return test if check.how in ("none", "truth", "query") else None
        return None

    def result(self, node: ast.Call, target: Ref) -> Ref:
        return self.made_by(node) if target.name else NOTHING

    def argument(self, node: ast.expr, target: str) -> str:
        """Walk an argument; return the function or place it refers to."""
        if isinstance(node, ast.Starred):
            return self.argument(node.value, target)
        if isinstance(node, ast.Lambda):
            return self.inner_function(node, at_once=target.rpartition(".")[2] in RUN_AT_ONCE)
        if isinstance(node, ast.Call):
            callee = self.resolve(node.func).name
            if callee.endswith(WRAPPING) and node.args:
                self.visit(node)
                return self.resolve(node.args[0]).name
        if (target in GOES_OVER or target in SIZES) and not isinstance(node, ast.GeneratorExp):
            return self.consumed(node, target)
        return self.visit(node).name

    def consumed(self, node: ast.expr, target: str) -> str:
        """The argument of list(), sum(), len() and so on: a container, or a view of one."""
        inner, view = node, ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VIEWS:
            inner, view = node.func.value, node.func.attr
        ref = self.base(inner)
        kind = SIZES.get(target, "copy")
        value = "" if target in SIZES else goes_over(target, view)
        if not self.note(ref, kind, node, value=value) and inner is not node:
            self.visit(node)
        return ref.name

    def visit_lambda(self, node: ast.Lambda) -> Ref:
        return Ref(self.inner_function(node))

    def inner_function(self, node: FunctionNode, at_once: bool = False) -> str:
        ref = self.later(node, self)
        if at_once:
            self.function.calls.append(Call(ref, "", span_of(node), self.held))
        return ref

    # --- tests ---

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
        checks = [self.compared(side) for side in (node.left, right)]
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

    def compared(self, node: ast.expr) -> Check | None:
        """`len(d) > 3`, `self.count < limit`, or a variable with such a value."""
        if isinstance(node, ast.Name) and node.id in self.bound_checks:
            found = self.bound_checks[node.id]
            return Check(found.access, "len" if found.how == "len" else "compare", None)
        for check in self.noted_last(node, "compare"):
            how = {"len": "len", "get": "get"}.get(check.access.kind, "compare")
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

    # --- values ---

    def assign_name(self, name: str, value: ast.expr) -> Ref:
        raise NotImplementedError  # in statements.py

    def describe(self, node: ast.expr | None) -> str:
        """The kind of a value: "none", "const", "dict", "call:threading.Lock", "ref:place" or ""."""
        if node is None or is_none(node):
            return "none"
        if isinstance(node, ast.Constant | ast.JoinedStr):
            return f"const:{node.value!r}" if isinstance(node, ast.Constant) else "const"
        if type(node) in LITERALS:
            return LITERALS[type(node)]
        if isinstance(node, ast.IfExp):
            return max(self.describe(node.body), self.describe(node.orelse), key=told)
        if isinstance(node, ast.BoolOp):
            return max((self.describe(value) for value in node.values), key=told)
        if isinstance(node, ast.NamedExpr | ast.Await):
            return self.describe(node.value)
        if isinstance(node, ast.Call):
            name = self.resolve(node.func).name
            if name.endswith("partial"):
                return "lambda"
            return f"call:{name}" if name else "expr"
        if isinstance(node, ast.Name | ast.Attribute):
            name = self.resolve(node).name
            return f"ref:{name}" if name else "expr"
        return "expr"

    # --- comprehensions and loops ---

    def iterate(self, node: ast.expr) -> None:
        """The iterable of a loop that runs Python code at each step."""
        inner, view = node, ""
        if isinstance(node, ast.Call) and is_view_function(node.func):
            inner = node.args[0] if node.args else node  # six.itervalues(d)
            view = "items"
        if (
            inner is node
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in VIEWS
        ):
            inner, view = node.func.value, node.func.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in LAZY
            and node.args
        ):
            for arg in node.args:
                self.iterate(arg)
            return
        if not isinstance(inner, ast.Name | ast.Attribute | ast.Subscript):
            self.visit(node)
            return
        ref = self.base(inner)
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Attribute):
            self.note(self.resolve(inner.value), "read", inner.value)
        self.note(ref, "iterate", node, value=view)

    def visit_comprehension(self, node: Any) -> Ref:
        """Walk a list, set, dict or generator; its filters are checks for what it makes."""
        outside, loop = self.checks, self.loop
        for generator in node.generators:
            self.iterate(generator.iter)
            self.loop = loop or node.lineno
            self.forget(generator.target)
            for condition in generator.ifs:
                self.checks += self.test(condition)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit_all(parts)
        self.checks, self.loop = outside, loop
        return NOTHING

    def forget(self, target: ast.expr) -> None:
        """Forget what was known of the names that an assignment binds anew."""
        for name in names_in(target):
            self.values.pop(name, None)
            self.bound_checks.pop(name, None)

    def visit_await(self, node: ast.Await) -> Ref:
        self.awaiting = node.value
        self.note_await(node)
        return self.visit(node.value)

    def note_await(self, node: ast.AST) -> None:
        if self.held:
            self.function.awaits.append((span_of(node), self.held))

    def visit_namedexpr(self, node: ast.NamedExpr) -> Ref:
        return self.assign_name(node.target.id, node.value)

    def visit_nothing(self, node: ast.expr) -> Ref:
        return NOTHING

    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Ref]]] = {
        ast.Name: visit_name,
        ast.Attribute: visit_attribute,
        ast.Subscript: visit_subscript,
        ast.Call: visit_call,
        ast.Lambda: visit_lambda,
        ast.Compare: visit_compare,
        ast.BoolOp: visit_boolop,
        ast.UnaryOp: visit_unary,
        ast.IfExp: visit_ifexp,
        ast.ListComp: visit_comprehension,
        ast.SetComp: visit_comprehension,
        ast.DictComp: visit_comprehension,
        ast.GeneratorExp: visit_comprehension,
        ast.Await: visit_await,
        ast.NamedExpr: visit_namedexpr,
        ast.Constant: visit_nothing,
    }


FUNCTIONS_THAT_CHANGE = {
    "heapq.heappush": "append",
    "heapq.heappop": "pop",
    "heapq.heapify": "sort",
    "heapq.heappushpop": "append",
    "bisect.insort": "insert",
    "random.shuffle": "sort",
}
# What these return does what their first argument does.
WRAPPING = ("partial", "copy_context.run", "weakref.proxy", "weakref.WeakMethod")
CHAINS = frozenset({"itertools.chain", "itertools.chain.from_iterable"})
LAZY = frozenset({"enumerate", "zip", "map", "filter", "reversed", "iter"})
ITER_FUNCTIONS = frozenset({"iteritems", "itervalues", "iterkeys", "viewitems", "viewvalues", "viewkeys"})
LITERALS: dict[type, str] = {
    ast.Dict: "dict",
    ast.DictComp: "dict",
    ast.List: "list",
    ast.ListComp: "list",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Tuple: "tuple",
    ast.Lambda: "lambda",
}


def is_view_function(function: ast.expr) -> bool:
    """`six.iteritems` and the like, which take the dict as their argument."""
    if isinstance(function, ast.Attribute):
        return function.attr in ITER_FUNCTIONS and isinstance(function.value, ast.Name)
    return isinstance(function, ast.Name) and function.id in ITER_FUNCTIONS


def told(description: str) -> int:
    """How much a description says: of `lock or Lock()`, the call."""
    return {"none": 0, "expr": 1, "const": 1, "ref": 2}.get(description.partition(":")[0], 3)


def names_in(target: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


__all__ = ["FUNCTIONS", "Check", "Expressions", "names_in", "span_of"]
