"""Statements: control flow, with the locks held and the checks in force at each point."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

from threadproof.lint.facts.accesses import Check, span_of
from threadproof.lint.facts.assignments import Assignments
from threadproof.lint.facts.expressions import Expressions, names_in
from threadproof.lint.facts.model import RETURNED, Access, Acquire, Held, Hold
from threadproof.lint.facts.nodes import children
from threadproof.lint.facts.references import Ref
from threadproof.lint.knowledge.containers import VIEWS

# A context manager that a call returns is a lock only if its name suggests one.
LOCKS_BY_CALL = re.compile(
    r"lock|mutex|sync|exclusive|critical|atomic|guard|(?<!s)hold|acquire", re.IGNORECASE
)
TAKES = re.compile(r"_*(acquire|lock)$|_*acquire\w*lock\w*$|\w*lock_acquire$", re.IGNORECASE)
GIVES = re.compile(r"_*(release|unlock)$|_*release\w*lock\w*$|\w*lock_release$", re.IGNORECASE)
CATCH_ALL = frozenset({"Exception", "BaseException"})
MISSING = frozenset({"KeyError", "IndexError", "LookupError", "AttributeError", "ValueError", "Empty"})
LOOKS = frozenset({"getitem", "read", "pop", "delitem", "get", "remove", "iterate", "index"})
# More looks than this in one `try` body, and it is not clear which of them the handler stands for.
FEW = 4


class Statements(Assignments):
    """Walks the statements of one function."""

    dead = False  # no path reaches this point

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            handler = self.STATEMENTS.get(type(statement))
            if handler is not None:
                handler(self, statement)
            else:
                self.visit_parts(statement)

    def visit_parts(self, statement: ast.stmt) -> None:
        self.visit_all(child for child in children(statement) if isinstance(child, ast.expr))

    # --- branches ---

    def branch(self, body: Sequence[ast.stmt], checks: Sequence[Check], held: Held) -> tuple[bool, Held]:
        """Walk one branch from the locks given; return whether it ends here, and the locks at its end."""
        outside, dead = self.checks, self.dead
        self.checks, self.held, self.dead = (*outside, *checks), held, False
        self.block(body)
        ended, held = self.dead, self.held
        self.checks, self.dead = outside, dead
        return ended, held

    def visit_if(self, node: ast.If) -> None:
        before = self.held  # without a lock that the test tries to take
        found = self.test(node.test)
        turned = tuple(check.turned() for check in found)
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            turned = tuple(Check(check.access, "flag", None) for check in found if check.how == "truth")
        held = self.held
        negative = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
        yes, held_yes = self.branch(node.body, found, before if negative else held)
        no, held_no = self.branch(node.orelse, turned, held if negative else before)
        self.meet([(yes, held_yes), (no, held_no)])
        if yes and not no:
            refuses = isinstance(node.body[-1], ast.Raise)
            self.checks += tuple([replace(check, refuses=refuses) for check in turned])
        elif no and not yes:
            self.checks += found

    def meet(self, ends: Sequence[tuple[bool, Held]]) -> None:
        """Go on after several branches: a lock is held if it is at the end of each that comes here."""
        live = [held for ended, held in ends if not ended]
        self.dead = self.dead or not live
        live = live or [held for _, held in ends]
        self.held = tuple(hold for hold in live[0] if all(hold in held for held in live[1:]))

    def visit_while(self, node: ast.While) -> None:
        outside = self.loop
        self.loop = node.lineno
        found = self.test(node.test)
        held = self.held
        _, after = self.branch(node.body, found, held)
        self.loop = outside
        forever = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self.held = tuple(hold for hold in held if hold in after) if not forever else held
        self.branch(node.orelse, (), self.held)
        if forever and not any(isinstance(part, ast.Break) for part in ast.walk(node)):
            self.dead = True

    def visit_for(self, node: ast.For | ast.AsyncFor) -> None:
        if isinstance(node, ast.AsyncFor):
            self.note_await(node.iter)
        self.iterate(node.iter)
        outside, held = self.loop, self.held
        self.loop = node.lineno
        self.bind_loop(node.target, node.iter)
        _, after = self.branch(node.body, (), held)
        self.loop = outside
        self.held = tuple(hold for hold in held if hold in after)
        self.branch(node.orelse, (), self.held)

    def bind_loop(self, target: ast.expr, source: ast.expr) -> None:
        """`for t in self.threads`: t is one of them."""
        self.forget(target)
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.args:
            source = source.args[0]  # list(self.threads)
        method = ""
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute):
            method = source.func.attr
            source = source.func.value
        if method == "items" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            target = target.elts[1]
        elif method in VIEWS - {"values", "itervalues"}:
            return
        ref = self.resolve(source)
        if isinstance(target, ast.Name) and ref.name and "()" not in ref.name:
            self.values[target.id] = Ref(f"{ref.name}[]", target.id, common=ref.common)

    def visit_match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        held = self.held
        ends: list[tuple[bool, Held]] = [(False, held)]
        for case in node.cases:
            for name in names_in(case.pattern):
                self.values.pop(name, None)
            found = self.test(case.guard) if case.guard else ()
            ends.append(self.branch(case.body, found, held))
        self.meet(ends)

    def visit_try(self, node: ast.Try | Any) -> None:
        held, caught, before = self.held, self.caught, len(self.function.accesses)
        self.caught = (*caught, *(name for handler in node.handlers for name in caught_by(handler)))
        body = self.branch(node.body, (), held)
        self.caught = caught
        looks = [a for a in self.function.accesses[before:] if a.kind in LOOKS]
        if node.orelse and not body[0]:
            body = self.branch(node.orelse, (), body[1])
        safe = tuple(hold for hold in held if hold in body[1])
        ends = [body]
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            ends.append(self.branch(handler.body, self.missed(handler, looks), safe))
        self.meet(ends)
        if body[0] and len(node.handlers) == 1 and not ends[1][0]:
            self.checks += self.missed(node.handlers[0], looks)
        ended = self.dead
        self.block(node.finalbody)
        self.dead = self.dead or ended

    def missed(self, handler: ast.ExceptHandler, looks: Sequence[Access]) -> tuple[Check, ...]:
        """`except KeyError`: what the body looked for was not there."""
        if len(looks) > FEW or not MISSING & set(caught_by(handler)):
            return ()
        return tuple(Check(access, "missing", False) for access in looks)

    def visit_end(self, node: ast.stmt) -> None:
        """Walk what leaves this path: return, raise, break or continue."""
        if isinstance(node, ast.Return) and node.value is not None:
            self.function.returns_value |= not (
                isinstance(node.value, ast.Constant) and node.value.value is None
            )
            name = self.visit(node.value).name
            if name:
                self.function.returned.append(name)
            self.note_returned(node.value)
        elif isinstance(node, ast.Raise):
            self.visit_all([node.exc, node.cause])
            self.function.raises |= not self.caught
        self.dead = True

    def note_returned(self, value: ast.expr) -> None:
        """The container itself, or a view of it, is handed to the caller, who has no lock."""
        last = self.function.accesses[-1] if self.function.accesses else None
        if last is None or last.value or last.span != span_of(value):
            return
        if last.kind == "read" or last.kind in VIEWS:
            last.value = RETURNED

    # --- locks ---

    def visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        held = self.held
        if isinstance(node, ast.AsyncWith):
            self.note_await(node.items[0].context_expr)
        for item in node.items:
            ref = self.visit(item.context_expr)
            if isinstance(item.context_expr, ast.IfExp):  # who says that it is not needed knows why
                ref = self.resolve(item.context_expr.body)
            if is_lock_like(ref.name):
                waits = isinstance(node, ast.AsyncWith) or isinstance(item.context_expr, ast.Await)
                self.take(ref.name, item.context_expr, asynchronous=waits)
            if isinstance(item.optional_vars, ast.Name):
                self.forget(item.optional_vars)
                if ref.name:
                    self.values[item.optional_vars.id] = ref._replace(alias=item.optional_vars.id)
            elif item.optional_vars is not None:
                self.forget(item.optional_vars)
        self.block(node.body)
        self.held = held if self.dead else tuple(hold for hold in held if hold in self.held)

    def take(self, lock: str, node: ast.AST, blocking: bool = True, asynchronous: bool = False) -> None:
        by_call = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "acquire"
        )
        self.function.acquires.append(Acquire(lock, span_of(node), self.held, blocking, by_call))
        self.sections += 1
        self.held = (*self.held, Hold(lock, self.sections, asynchronous))

    def visit_call(self, node: ast.Call) -> Ref:
        awaited = self.awaiting is node
        result = super().visit_call(node)
        if isinstance(node.func, ast.Attribute):
            receiver = self.resolve(node.func.value).name
            if node.func.attr in ("acquire", "__enter__") and is_lock_like(receiver):
                self.take(receiver, node, blocking=may_block(node), asynchronous=awaited)
            elif node.func.attr in ("release", "__exit__"):
                self.held = tuple(hold for hold in self.held if hold.lock != receiver)
            elif self.discarding is node:
                self.lock_function(node.func.attr, node)
            elif node.func.attr in ("enter_context", "push") and len(node.args) == 1:
                entered = self.resolve(node.args[0]).name
                if is_lock_like(entered):
                    self.take(entered, node)
        elif isinstance(node.func, ast.Name) and self.discarding is node:
            self.lock_function(node.func.id, node)
        return result

    def lock_function(self, name: str, node: ast.Call) -> None:
        """`_acquire_lock()` and `self.unlock()`: functions that take and release a lock for their caller."""
        if TAKES.match(name):
            self.take(f"decorator:{name}", node)
        elif GIVES.match(name):
            self.held = tuple(hold for hold in self.held if not hold.lock.startswith("decorator:"))

    def visit_expr(self, node: ast.Expr) -> None:
        self.discarding = node.value
        self.visit(node.value)

    # --- definitions ---

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
        ref = self.later(node, self)
        if self.scope.is_function:
            self.values[node.name] = Ref(ref)

    def visit_class(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases])
        self.later_class(node, self)
        if self.scope.is_function:
            self.values[node.name] = Ref(f"{self.function.ref}.<locals>.{node.name}")

    later_class: Callable[[ast.ClassDef, Expressions], None]

    def visit_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import inside a function; those of the module are in `module.imports` already."""
        if not self.scope.is_function:
            return
        for name, meaning in imported(node, self.module.name, self.module.path):
            self.values[name] = Ref(meaning)

    STATEMENTS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        **Assignments.STATEMENTS,
        ast.If: visit_if,
        ast.While: visit_while,
        ast.For: visit_for,
        ast.AsyncFor: visit_for,
        ast.Match: visit_match,
        ast.Try: visit_try,
        ast.TryStar: visit_try,
        ast.Return: visit_end,
        ast.Raise: visit_end,
        ast.Break: visit_end,
        ast.Continue: visit_end,
        ast.With: visit_with,
        ast.AsyncWith: visit_with,
        ast.Expr: visit_expr,
        ast.FunctionDef: visit_function,
        ast.AsyncFunctionDef: visit_function,
        ast.ClassDef: visit_class,
        ast.Import: visit_import,
        ast.ImportFrom: visit_import,
    }
    HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Ref]]] = {
        **Expressions.HANDLERS,
        ast.Call: visit_call,
    }


def caught_by(handler: ast.ExceptHandler) -> list[str]:
    """The names of the exceptions a handler catches; "*" for all."""
    if handler.type is None:
        return ["*"]
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = [part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in types]
    return ["*" if name in CATCH_ALL else name for name in names]


@cache
def is_lock_like(name: str) -> bool:
    """Whether a context manager may be a lock: any variable may; what a call returns, if it is called so."""
    if not name or name.startswith("builtins."):
        return False
    if name.endswith("()"):
        return bool(LOCKS_BY_CALL.search(name[:-2].rpartition(".")[2]))
    return True


def may_block(call: ast.Call) -> bool:
    """Whether `acquire(...)` waits without end."""
    given = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "blocking")]
    timeout = len(call.args) > 1 or any(word.arg == "timeout" for word in call.keywords)
    never = any(isinstance(arg, ast.Constant) and not arg.value for arg in given)
    return not timeout and not never


def imported(node: ast.Import | ast.ImportFrom, module: str, path: str) -> list[tuple[str, str]]:
    """The names an import binds, and the references they stand for."""
    if isinstance(node, ast.Import):
        tops = [alias.name.partition(".")[0] for alias in node.names]
        return [
            (alias.asname, alias.name) if alias.asname else (top, top)
            for alias, top in zip(node.names, tops, strict=True)
        ]
    source = node.module or ""
    if node.level:
        parts = module.split(".")
        is_package = path.replace("\\", "/").endswith("/__init__.py")
        base = parts[: len(parts) - node.level + (1 if is_package else 0)]
        source = ".".join([*base, *([source] if source else [])])
    return [(alias.asname or alias.name, f"{source}.{alias.name}") for alias in node.names]
