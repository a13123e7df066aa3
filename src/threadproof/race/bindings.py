"""Finds where the source assigns a container to its name: the one assignment to `self.items`, or to `cache`.

This is derived from the source, not observed in the run, so a place is given only where it is unambiguous. A
parameter, a name that is assigned twice, and an attribute that its class does not assign have none. An
assignment of None does not count: the container is assigned later.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache

from threadproof.findings import Place

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Scope = Function | ast.ClassDef | ast.Module


def binding_of(name: str, place: Place) -> Place | None:
    """The only assignment to which the name, used at this place, can refer."""
    around = scopes_around(place)
    if name.startswith("self."):
        classes = [scope for scope in around if isinstance(scope, ast.ClassDef)]
        targets = attributes_of(classes[0], name.removeprefix("self.")) if classes else []
    else:
        targets = next(filter(None, (names_in(scope, name) for scope in around if not_a_class(scope))), [])
    if len(targets) != 1 or not isinstance(targets[0], ast.expr):
        return None
    target = targets[0]
    return Place(place.file, target.lineno).from_byte(target.col_offset, target.end_col_offset or 0)


def alias_of(name: str, place: Place) -> str | None:
    """The `self.x` that a local variable stands for at this place: all assignments to it say so."""
    around = scopes_around(place)
    if not name.isidentifier() or not isinstance(around[0], Function):
        return None
    meant = {attribute_in(node, name) for node in own(around[0]) if assigns(node, name)}
    return meant.pop() if len(meant) == 1 and not is_parameter(name, around[0]) else None


def assigns(node: ast.AST, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in assigned(iter([node])))


def attribute_in(node: ast.AST, name: str) -> str | None:
    """The attribute of self on the right of `name = self.x`, or beside the name in `self.x = name = ...`."""
    if not isinstance(node, ast.Assign):
        return None
    for each in (node.value, *node.targets):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
            return f"self.{each.attr}"
    return None


def is_parameter(name: str, scope: Function) -> bool:
    return any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(scope.args))


def is_local(name: str, place: Place) -> bool:
    """Whether a function around the place has the variable, and not the module."""
    return any(names_in(scope, name) for scope in scopes_around(place) if isinstance(scope, Function))


@lru_cache(maxsize=64)  # files: more than one report names
def tree_of(file: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ast.Module([], [])


def scopes_around(place: Place) -> list[Scope]:
    """The functions and classes around the line, innermost first, and the module."""
    tree = tree_of(place.file)
    around: list[Scope] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, Scope) and not isinstance(node, ast.Module)
        if node.lineno <= place.line <= (node.end_lineno or node.lineno)
    ]
    return [*sorted(around, key=lambda node: -getattr(node, "lineno", 0)), tree]


def not_a_class(scope: Scope) -> bool:
    """Functions in a class do not see its names."""
    return not isinstance(scope, ast.ClassDef)


def own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of the scope itself, without those of functions and classes in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Scope):
            yield from own(child)


def assigned(nodes: Iterator[ast.AST]) -> Iterator[ast.expr]:
    """The targets of assignments of a value."""
    for node in nodes:
        match node:
            case ast.Assign(value=ast.Constant(value=None)) | ast.AnnAssign(value=None):
                continue
            case ast.Assign(targets=targets):
                yield from targets
            case ast.AnnAssign(target=target) | ast.NamedExpr(target=target) | ast.For(target=target):
                yield target


def names_in(scope: Scope, name: str) -> list[ast.AST]:
    """The assignments to the name in the scope, and its parameters of that name."""
    found: list[ast.AST] = [
        target for target in assigned(own(scope)) if isinstance(target, ast.Name) and target.id == name
    ]
    if isinstance(scope, Function):
        found += [node for node in ast.walk(scope.args) if isinstance(node, ast.arg) and node.arg == name]
    return found


def attributes_of(scope: ast.ClassDef, name: str) -> list[ast.AST]:
    """The assignments to `self.name` anywhere in the class, and to `name` in its body."""
    in_methods = [
        target
        for target in assigned(ast.walk(scope))
        if isinstance(target, ast.Attribute) and ast.unparse(target) == f"self.{name}"
    ]
    return [*names_in(scope, name), *in_methods]
