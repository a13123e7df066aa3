"""Which expressions of a file are maps of threadproof: by the values assigned, or by annotation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadproof.lint.source import Source, text_of

MAPS = re.compile(r"\b(ConcurrentMap|HashMap|SyncMap|SnapshotMap|ShardedMap|LockedMap)\b")
# Methods that call a function given to them while the key is reserved.
COMPUTES = frozenset({"compute", "compute_if_absent", "compute_if_present", "merge"})


def own_maps(source: Source) -> set[str]:
    """The source of each variable and attribute that holds a map; a type alone is as good as a value."""
    if "threadproof" not in source.text:
        return set()
    found = {text_of(target) for target, value in assigned(source) if is_map(source, value)}
    for node in source.all(ast.AnnAssign):
        if MAPS.search(text_of(node.annotation)):
            found.add(text_of(node.target))
    found |= {
        arg.arg for arg in source.all(ast.arg) if arg.annotation and MAPS.search(text_of(arg.annotation))
    }
    return found - {"self"}  # annotated in one method, and another object in another class


def assigned(source: Source) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in source.all(ast.Assign):
        for target in node.targets:
            yield target, node.value


def is_map(source: Source, value: ast.expr) -> bool:
    """Whether a value is made by the class of a map: `HashMap()`, or `HashMap[str, int]()`."""
    if not isinstance(value, ast.Call):
        return False
    made = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    name = source.name_of(made)
    return name.startswith("threadproof.") and MAPS.search(name) is not None


Function = ast.Lambda | ast.FunctionDef


def computing(source: Source) -> Iterator[tuple[ast.Call, str, str, Function]]:
    """Each call that computes a value: the call, the map, the method, and the function that is given."""
    functions = {node.name: node for node in source.all(ast.FunctionDef)}
    for call, name, method in calls_on_maps(source):
        for given in call.args if method in COMPUTES else ():
            body: ast.AST | None = given
            if isinstance(given, ast.Name):
                body = functions.get(given.id)
            elif isinstance(given, ast.Attribute) and text_of(given.value) == "self":
                body = functions.get(given.attr)
            if isinstance(body, Function):
                yield call, name, method, body


def calls_on_maps(source: Source) -> Iterator[tuple[ast.Call, str, str]]:
    """Each call of a method of a map: the call, the map's source, and the method's name."""
    maps = own_maps(source)
    if not maps:
        return
    for call in source.all(ast.Call):
        if isinstance(call.func, ast.Attribute):
            receiver = text_of(call.func.value)
            if receiver in maps:
                yield call, receiver, call.func.attr
