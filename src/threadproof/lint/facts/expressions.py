"""Expressions: every use of a place, and every call, in the order of evaluation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from sys import intern
from typing import Any, ClassVar

from threadproof.lint.facts.accesses import span_of
from threadproof.lint.facts.conditions import Conditions
from threadproof.lint.facts.model import Access, Call
from threadproof.lint.facts.nodes import children
from threadproof.lint.facts.references import NOTHING, Ref, is_none, key_text
from threadproof.lint.facts.scopes import FUNCTIONS, FunctionNode
from threadproof.lint.knowledge.containers import (
    GOES_OVER,
    METHODS,
    SIZES,
    VIEWS,
    goes_over,
)

# Calls that use a function at once and let go of it: it runs here, with the locks held here.
RUN_AT_ONCE = frozenset(
    {"map", "filter", "sorted", "min", "max", "any", "all", "sum", "sort", "reduce", "sub"}
)
FALSE = "builtins.False"  # the argument False; other constants are not told apart
DEREFERENCE = "dereference"  # the value of a read whose result has an attribute taken: None would fail


class Expressions(Conditions):
    """Walks expressions of one function and fills in its facts."""

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
            return inner._replace(common=True) if node.attr == "__class__" else inner.dot(node.attr)
        if isinstance(node, ast.Subscript):
            inner = self.base(node.value)
            self.visit(node.slice)
            self.note(inner, "getitem", node, key_text(node.slice))
            return inner.inner("[]")
        return self.visit(node)

    def visit_name(self, node: ast.Name) -> Ref:
        ref = self.named(node.id)
        if not ref.alias:
            self.note(ref, "read", node)
        return ref

    def visit_attribute(self, node: ast.Attribute) -> Ref:
        inner = self.base(node.value)
        if node.attr == "__class__":
            return inner._replace(common=True)
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
        args = tuple(self.argument(arg, target.name) for arg in node.args)
        keywords = tuple(
            (word.arg or "**", self.keyword_argument(word, target.name)) for word in node.keywords
        )
        call = Call(
            intern(target.name or f"?.{method}"),
            intern(receiver.name),
            span_of(node),
            self.held,
            args,
            keywords,
            discarded,
            awaited,
            self.caught,
            self.loop,
            bool(self.checks),
            self.not_set(receiver.name if method else target.name) if self.checks else None,
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

    def keyword_argument(self, word: ast.keyword, target: str) -> str:
        """Walk a keyword's value, which `dict(items=...)` does not go over; but `key=lambda` runs at once."""
        goes_over = target in GOES_OVER and not isinstance(word.value, ast.Lambda)
        return self.argument(word.value, "" if goes_over and word.arg else target)

    def argument(self, node: ast.expr, target: str) -> str:
        """Walk an argument; return the function or place it refers to."""
        if isinstance(node, ast.Starred):
            return self.argument(node.value, target)
        if isinstance(node, ast.Constant) and node.value is False:
            return FALSE
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

    # --- values ---

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
        if self.discarding is node:
            self.discarding = parts[0]
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
        **Conditions.HANDLERS,
        ast.Name: visit_name,
        ast.Attribute: visit_attribute,
        ast.Subscript: visit_subscript,
        ast.Call: visit_call,
        ast.Lambda: visit_lambda,
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


__all__ = ["FUNCTIONS", "Expressions", "names_in"]
