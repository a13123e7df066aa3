"""Statements: control flow, with the locks held and the checks in force at each point."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar

from threadproof.lint.facts.expressions import Check, Expressions, names_in, span_of
from threadproof.lint.facts.model import Access, Acquire, Held, Hold, Pair
from threadproof.lint.facts.nodes import children
from threadproof.lint.facts.references import NOTHING, Ref, key_text
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
# Accesses whose result another value is computed from.
COMPUTED_FROM = frozenset({"read", "get", "getitem", "iterate", "copy"})
EMPTY = frozenset(
    {"list", "dict", "set", "const:0", "const:''", "const:b''", "call:builtins.list", "call:builtins.dict",
     "call:builtins.set", "call:collections.deque", "call:collections.defaultdict",
     "call:collections.OrderedDict"}
)  # fmt: skip


class Statements(Expressions):
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
            self.checks += turned
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
            self.values[target.id] = Ref(f"{ref.name}[]", target.id)

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
        elif isinstance(node, ast.Raise):
            self.visit_all([node.exc, node.cause])
            self.function.raises |= not self.caught
        self.dead = True

    # --- locks ---

    def visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        held = self.held
        if isinstance(node, ast.AsyncWith):
            self.note_await(node.items[0].context_expr)
        for item in node.items:
            ref = self.visit(item.context_expr)
            if is_lock_like(ref.name):
                waits = isinstance(node, ast.AsyncWith) or isinstance(item.context_expr, ast.Await)
                self.take(ref.name, item.context_expr, asynchronous=waits)
            if isinstance(item.optional_vars, ast.Name):
                self.forget(item.optional_vars)
                if ref.name:
                    self.values[item.optional_vars.id] = Ref(ref.name, item.optional_vars.id, ref.owned)
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

    # --- assignments ---

    def visit_expr(self, node: ast.Expr) -> None:
        self.discarding = node.value
        self.visit(node.value)

    def visit_assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.assign_name(node.targets[0].id, node.value, node)
            return
        before = len(self.function.accesses)
        calls = len(self.function.calls)
        value = self.visit(node.value)
        for target in node.targets:
            self.store(target, node, node.value, value, before)
            if len(self.function.calls) > calls and isinstance(node.value, ast.Call):
                self.function.calls[-1].into = self.resolve(target).name

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
        if isinstance(value, ast.Call) and len(self.function.calls) > calls:
            self.function.calls[-1].into = target.name
        self.write(target, node or value, value, before)
        if name not in self.bound_checks and self.is_computed(value):
            self.derived[name] = [access for access in looked if access.kind in COMPUTED_FROM]
        if ref.name and self.binds_here(name):
            self.values[name] = Ref(ref.name, name, ref.owned)
        return ref

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
        ast.Assign: visit_assign,
        ast.AnnAssign: visit_annassign,
        ast.AugAssign: visit_augassign,
        ast.Delete: visit_delete,
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


def accumulates(value: ast.expr) -> bool:
    """`n + 1` and `max(n, other)`: the new value depends on the old."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in ("max", "min")
    return isinstance(value, ast.BinOp)


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
