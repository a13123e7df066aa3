"""Which names each scope binds, and which of a function's locals the functions inside it share."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadproof.lint.facts.nodes import children

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
ScopeNode = ast.Module | ast.ClassDef | FunctionNode
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = frozenset({*FUNCTIONS, ast.ClassDef})
BINDERS = frozenset(
    {
        ast.Import,
        ast.ImportFrom,
        ast.Global,
        ast.Nonlocal,
        ast.ExceptHandler,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
        ast.Yield,
        ast.YieldFrom,
    }
)


@dataclass(slots=True)
class Scope:
    """The names of one scope. A comprehension counts as part of the scope it stands in."""

    node: ScopeNode
    parent: Scope | None
    bound: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)  # global and nonlocal
    global_names: set[str] = field(default_factory=set)
    inner: list[Scope] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)  # locals that a function inside this one uses
    yields: bool = False  # a generator

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, FUNCTIONS)

    def home(self, name: str) -> Scope | None:
        """The scope that a name used here belongs to; None if it is a builtin, or comes from `import *`."""
        scope: Scope | None = self
        if name in self.global_names:
            return self.module()
        while scope is not None:
            if name in scope.bound and (scope is self or scope.is_function or scope.parent is None):
                return scope
            scope = scope.parent
        return None

    def module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


def scopes_of(tree: ast.Module) -> dict[ast.AST, Scope]:
    """The scope of each module, class and function node."""
    top = Scope(tree, None)
    found: dict[ast.AST, Scope] = {tree: top}
    stack: list[tuple[ast.AST, Scope]] = [(child, top) for child in children(tree)]
    while stack:
        node, scope = stack.pop()
        kind = node.__class__
        if kind is ast.Name:
            (scope.loaded if node.ctx.__class__ is ast.Load else scope.bound).add(node.id)  # type: ignore[attr-defined]
        elif kind in SCOPES:
            enter(node, scope, found, stack)  # type: ignore[arg-type]
        else:
            if kind in BINDERS:
                bind(node, scope)
            stack.extend((child, scope) for child in children(node))
    share(top)
    return found


def enter(
    node: FunctionNode | ast.ClassDef,
    outer: Scope,
    found: dict[ast.AST, Scope],
    stack: list[tuple[ast.AST, Scope]],
) -> None:
    """Make the scope of a class or function, and put on the stack what belongs to it and to the outer one."""
    scope = found[node] = Scope(node, outer)
    outer.inner.append(scope)
    if not isinstance(node, ast.Lambda):
        outer.bound.add(node.name)
    if isinstance(node, ast.ClassDef):
        outside: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
        inside: list[ast.AST] = list(node.body)
    else:
        scope.bound.update(parameters(node.args))
        outside = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
        outside += getattr(node, "decorator_list", [])
        inside = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    stack.extend((child, outer) for child in outside)
    stack.extend((child, scope) for child in inside)


def bind(node: ast.AST, scope: Scope) -> None:
    """Note the names that a node of BINDERS binds, and that a function is a generator."""
    if isinstance(node, ast.Import):
        scope.bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        scope.bound.update(alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Global):
        scope.declared.update(node.names)
        scope.global_names.update(node.names)
        scope.module().bound.update(node.names)
    elif isinstance(node, ast.Nonlocal):
        scope.declared.update(node.names)
    elif (isinstance(node, ast.ExceptHandler) and node.name) or (
        isinstance(node, ast.MatchAs | ast.MatchStar) and node.name
    ):
        scope.bound.add(node.name)
    elif isinstance(node, ast.Yield | ast.YieldFrom):
        scope.yields = True
    elif isinstance(node, ast.MatchMapping) and node.rest:
        scope.bound.add(node.rest)


def parameters(args: ast.arguments) -> Iterator[str]:
    yield from (arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs))
    yield from (arg.arg for arg in (args.vararg, args.kwarg) if arg)


def share(scope: Scope) -> set[str]:
    """Fill in `shared` for the scope and those inside it; return the names it takes from outside."""
    scope.bound -= scope.declared
    free = (scope.loaded | scope.declared) - scope.bound - scope.global_names
    for inner in scope.inner:
        taken = share(inner)
        if scope.is_function:
            scope.shared |= taken & scope.bound
            free |= taken - scope.bound
        else:
            free |= taken
    scope.inner.clear()  # a cycle, with the syntax tree, that only a collection of garbage would free
    return free
