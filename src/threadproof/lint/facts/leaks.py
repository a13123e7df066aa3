"""Locks taken by `acquire()` or `lock()` that some path out of the function does not release.

Every path is followed from the call on: through branches, loops, `try` and the exceptions that a call may
raise. A function that never releases the lock hands it over, and is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Calls that do not raise, in the way they are used between acquire() and release().
SAFE_CALLS = frozenset(
    {
        "acquire", "release", "lock", "unlock", "locked", "notify", "notify_all", "notifyAll", "wait", "set",
        "is_set", "join",
        "isSet", "clear", "append", "appendleft", "add", "discard", "len", "isinstance", "id", "time",
        "monotonic", "get_ident", "current_thread", "currentThread", "get", "keys", "values", "items",
        "copy", "debug", "bool", "getpid", "hasattr", "callable", "max", "min", "list", "dict", "tuple",
    }
)  # fmt: skip
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Leak(NamedTuple):
    """A path that leaves with the lock held: by "return", "raise", "call" (one that may raise) or "yield"."""

    acquire: ast.Call
    lock: ast.expr
    exit: ast.AST
    how: str


@dataclass(slots=True)
class Frame:
    """A `try` around a statement, and the locks that its handlers or its `finally` release."""

    releases: set[str]
    finally_releases: set[str]


Held = dict[str, ast.Call]  # source of the lock -> the call that took it
WORST = {"return": 0, "raise": 1, "yield": 2, "call": 3}


@dataclass(slots=True)
class Paths:
    """Follows the paths of one function."""

    releasable: set[str]  # locks that the function releases somewhere
    is_generator: bool  # its `yield` raises what a `with` block raised, or GeneratorExit when it is closed
    leaks: dict[ast.Call, Leak] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    loops: list[Held] = field(default_factory=list)
    flags: dict[str, Held] = field(default_factory=dict)  # variable -> the locks that it says are taken

    def leak(self, held: Held, node: ast.AST, how: str) -> None:
        inside = {name for frame in self.frames for name in frame.finally_releases}
        if how in ("call", "raise", "yield"):
            inside |= {name for frame in self.frames for name in frame.releases}
        for name, call in held.items():
            known = self.leaks.get(call)
            if name not in inside and (known is None or WORST[how] < WORST[known.how]):
                assert isinstance(call.func, ast.Attribute)
                self.leaks[call] = Leak(call, call.func.value, node, how)

    def block(self, body: Sequence[ast.stmt], held: Held | None) -> Held | None:
        """Follow statements; return what is held at their end, None if it is not reached."""
        for statement in body:
            if held is None:
                return None
            held = self.statement(statement, held)
        return held

    def statement(self, node: ast.stmt, held: Held) -> Held | None:
        method = STATEMENTS.get(type(node))
        if method is not None:
            return method(self, node, held)
        return self.plain(node, held)

    def plain(self, node: ast.AST, held: Held) -> Held:
        """A statement without branches: calls in it may raise, take a lock or release one."""
        if isinstance(node, DEFINITIONS):
            return held
        if held and may_raise(node):
            self.leak(without_release(held, node), node, "call")
        if held and self.is_generator and has_yield(node):
            self.leak(held, node, "yield")
        taken, released = changes(node)
        held = {name: call for name, call in held.items() if name not in released}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            is_flag = isinstance(node.value, ast.Call) and node.value in taken.values()
            self.flags[node.targets[0].id] = taken if is_flag else {}
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.Return | ast.Assert):
            held |= {name: call for name, call in taken.items() if name in self.releasable}
        return held

    def on_return(self, node: ast.Return, held: Held) -> None:
        held = self.plain(node, held)
        self.leak(held, node, "return")

    def on_raise(self, node: ast.Raise, held: Held) -> None:
        self.leak(held, node, "raise")

    def on_jump(self, node: ast.Break | ast.Continue, held: Held) -> None:
        if isinstance(node, ast.Break) and self.loops:
            inside = {name for frame in self.frames for name in frame.finally_releases}
            self.loops[-1].update({name: call for name, call in held.items() if name not in inside})

    def on_if(self, node: ast.If, held: Held) -> Held | None:
        negative = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
        tested = node.test.operand if isinstance(node.test, ast.UnaryOp) and negative else node.test
        taken, _ = changes(node.test)
        if isinstance(tested, ast.Name):
            taken = self.flags.pop(tested.id, {})  # a second test is of a lock that is held already
        taken = {name: call for name, call in taken.items() if name in self.releasable}
        if any(is_flag(part) for part in node.body):
            taken = {}  # a variable says whether it was taken, as with `taken = lock.acquire()`
        if held and may_raise(node.test):
            self.leak(held, node.test, "call")
        if not node.orelse and not taken:
            # `if locked: lock.release()`: the test is the one under which it was taken.
            held_after = self.block(node.body, held)
            released = {name for part in node.body for name in changes(part)[1]}
            rest = {name: call for name, call in held.items() if name not in released or held_after is None}
            return both(held_after, rest)
        yes = self.block(node.body, held if negative else held | taken)
        no = self.block(node.orelse, held | taken if negative else held)
        return both(yes, no)

    def on_loop(self, node: ast.While | ast.For | ast.AsyncFor, held: Held) -> Held | None:
        test = node.test if isinstance(node, ast.While) else node.iter
        if held and may_raise(test):
            self.leak(held, test, "call")
        taken, _ = changes(test)
        taken = {name: call for name, call in taken.items() if name in self.releasable}
        negative = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        self.loops.append({})
        after = self.block(node.body, held if negative else held | taken)
        taken = taken if negative else {}
        broken = self.loops.pop()
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
            return broken or held if has_break(node) else None
        held = {name: call for name, call in held.items() if after is None or name in after}
        return self.block(node.orelse, held | taken | broken)

    def on_with(self, node: ast.With | ast.AsyncWith, held: Held) -> Held | None:
        for item in node.items:
            held = self.plain(item.context_expr, held)
        return self.block(node.body, held)

    def on_try(self, node: ast.Try, held: Held) -> Held | None:
        in_finally = {name for part in node.finalbody for name in changes(part)[1]}
        in_handlers = {
            name for handler in node.handlers for part in handler.body for name in changes(part)[1]
        }
        if any(catches_all(handler) for handler in node.handlers):
            in_handlers |= self.releasable  # the path goes on in the handler
        self.frames.append(Frame(in_handlers, in_finally))
        after = self.block(node.body, held)
        after = self.block(node.orelse, after)
        self.frames[-1].releases = set()
        for handler in node.handlers:
            began = {**held, **(after or {})} if in_handlers else held
            after = both(after, self.block(handler.body, dict(began)))
        self.frames.pop()
        if after is None:
            self.block(node.finalbody, {})
            return None
        after = self.block(node.finalbody, after)
        return after and {name: call for name, call in after.items() if name not in in_finally}

    def on_match(self, node: ast.Match, held: Held) -> Held | None:
        after: Held | None = held
        for case in node.cases:
            after = both(after, self.block(case.body, held))
        return after


STATEMENTS: dict[type, Callable[..., Held | None]] = {
    ast.Return: Paths.on_return,
    ast.Raise: Paths.on_raise,
    ast.Break: Paths.on_jump,
    ast.Continue: Paths.on_jump,
    ast.If: Paths.on_if,
    ast.While: Paths.on_loop,
    ast.For: Paths.on_loop,
    ast.AsyncFor: Paths.on_loop,
    ast.With: Paths.on_with,
    ast.AsyncWith: Paths.on_with,
    ast.Try: Paths.on_try,
    ast.TryStar: Paths.on_try,
    ast.Match: Paths.on_match,
}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def leaks_of(node: FunctionNode) -> list[Leak]:
    """The leaks of a function: at most one for each acquire()."""
    taken, released = changes(node, inside=True)
    elsewhere = {name for part in ast.walk(node) for name in handed_over(part, node)}
    releasable = (released & taken.keys()) - elsewhere - given_back_first(node, taken)
    if not releasable:
        return []
    paths = Paths(releasable, any(has_yield(part) for part in node.body))
    held = paths.block(node.body, {})
    if held:
        paths.leak(held, node.body[-1], "return")
    return list(paths.leaks.values())


def given_back_first(node: ast.AST, taken: Held) -> set[str]:
    """Locks that the function is called with, or has by `with`: it releases them for a while."""
    names: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.withitem):
            names.add(ast.unparse(part.context_expr))
        elif (
            isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and part.func.attr in ("release", "unlock")
        ):
            name = ast.unparse(part.func.value)
            if name in taken and part.lineno < min(call.lineno for call in acquires(node, name)):
                names.add(name)
    return names


def acquires(node: ast.AST, lock: str) -> list[ast.Call]:
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr in ("acquire", "lock")
        and ast.unparse(part.func.value) == lock
    ]


def handed_over(part: ast.AST, function: ast.AST) -> set[str]:
    """Locks whose release() is used as a value, or in a function inside: they are released later."""
    if isinstance(part, DEFINITIONS) and part is not function:
        return changes(part, inside=True)[1]
    if isinstance(part, ast.Call):
        values = [*part.args, *(word.value for word in part.keywords)]
        return {
            ast.unparse(v.value)
            for v in values
            if isinstance(v, ast.Attribute) and v.attr in ("release", "unlock")
        }
    return set()


def changes(node: ast.AST, inside: bool = False) -> tuple[Held, set[str]]:
    """The locks that a statement or expression takes, and those it releases, by their source."""
    taken: Held = {}
    released: set[str] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, DEFINITIONS) and not (inside and part is node):
            continue
        if isinstance(part, ast.Await):
            continue  # a lock of an event loop
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            if part.func.attr in ("acquire", "lock"):
                taken[ast.unparse(part.func.value)] = part
            elif part.func.attr in ("release", "unlock"):
                released.add(ast.unparse(part.func.value))
        stack.extend(ast.iter_child_nodes(part))
    return taken, released


def is_flag(node: ast.stmt) -> bool:
    """Whether a statement is `acquired = True`."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is True


def without_release(held: Held, node: ast.AST) -> Held:
    """`lock.release()` does not leak the lock that it releases."""
    released = changes(node)[1]
    return {name: call for name, call in held.items() if name not in released}


def may_raise(node: ast.AST) -> bool:
    """Whether a statement has a call, other than those known to be safe, or waits."""
    for part in walk_own(node):
        if isinstance(part, ast.Await | ast.Assert):
            return True
        if isinstance(part, ast.Call):
            name = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
            if name not in SAFE_CALLS:
                return True
    return False


def walk_own(node: ast.AST) -> list[ast.AST]:
    found = []
    stack = [node]
    while stack:
        part = stack.pop()
        found.append(part)
        stack.extend(child for child in ast.iter_child_nodes(part) if not isinstance(child, DEFINITIONS))
    return found


def has_yield(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Yield | ast.YieldFrom) for part in walk_own(node))


def has_break(loop: ast.AST) -> bool:
    return any(isinstance(part, ast.Break) for part in walk_own(loop))


def catches_all(handler: ast.ExceptHandler) -> bool:
    name = handler.type.id if isinstance(handler.type, ast.Name) else ""
    return handler.type is None or name in ("Exception", "BaseException")


def both(one: Held | None, two: Held | None) -> Held | None:
    """After two branches: the locks that either may hold, as the other branch may leak them."""
    if one is None or two is None:
        return two if one is None else one
    return one | two
