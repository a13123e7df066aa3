"""The name of an object in the program's source: from the line that made it, or one that waits at it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache

from threadproof.findings.model import Place


def name_at_creation(place: Place) -> str:
    """`self._lock = Lock()` in Account.__init__ gives "Account._lock"; empty if nothing is assigned there."""
    for node in assignments(place.file):
        if node.value is not None and covers(node.value, place.line):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return qualified(ast.unparse(element_of(target, node.value, place)), place)
    return ""


def name_at_wait(place: Place) -> str:
    """`with self._lock:` gives "Account._lock", so does `self._lock.acquire()`; empty for no plain name."""
    marked = place.marked()
    if not marked:
        return ""
    try:
        expression = ast.parse(place.source()[slice(*marked)], mode="eval").body
    except SyntaxError:
        return ""
    if isinstance(expression, ast.Call):
        called = expression.func
        expression = called.value if isinstance(called, ast.Attribute) else called
    if isinstance(expression, ast.Subscript):
        expression = expression.value
    return qualified(ast.unparse(expression), place) if is_plain(expression) else ""


def element_of(target: ast.expr, value: ast.expr, place: Place) -> ast.expr:
    """Of `left, right = Lock(), Lock()`, the target whose value is at the place."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and place.column is not None:
        for one, made in zip(target.elts, value.elts, strict=False):
            if made.lineno == place.line and made.col_offset <= place.column < (made.end_col_offset or 0):
                return one
    return target


def qualified(name: str, place: Place) -> str:
    owner = place.function.rpartition(".")[0]
    if name.startswith("self.") and owner and not owner.endswith("<locals>"):
        return owner.rpartition(".")[2] + name.removeprefix("self")
    return name


def is_plain(expression: ast.expr) -> bool:
    while isinstance(expression, (ast.Attribute, ast.Subscript)):
        expression = expression.value
    return isinstance(expression, ast.Name)


def covers(node: ast.expr, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


@lru_cache(maxsize=64)  # files: a report names few
def assignments(file: str) -> tuple[ast.Assign | ast.AnnAssign | ast.NamedExpr, ...]:
    """Those of a file, the innermost first."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ()
    return tuple(reversed([*found_in(tree)]))


def found_in(tree: ast.AST) -> Iterator[ast.Assign | ast.AnnAssign | ast.NamedExpr]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            yield node
