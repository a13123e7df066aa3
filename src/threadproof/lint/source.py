"""One file as rules that read syntax see it: tree, parents, and names resolved through imports."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

from threadproof.lint.facts.model import Module, Span
from threadproof.lint.facts.nodes import children, walk
from threadproof.lint.files import lines_of

Node = TypeVar("Node", bound=ast.AST)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Source:
    """A file, parsed."""

    def __init__(self, path: str, text: str, tree: ast.Module, module: Module) -> None:
        self.path = path
        self.text = text
        self.tree = tree
        self.module = module

    @cached_property
    def lines(self) -> list[str]:
        return lines_of(self.text)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for nodes in self.by_type.values() for node in nodes for child in children(node)}

    @cached_property
    def by_type(self) -> dict[type, list[ast.AST]]:
        found: defaultdict[type, list[ast.AST]] = defaultdict(list)
        for node in walk(self.tree):
            found[node.__class__].append(node)
        return found

    def all(self, kind: type[Node]) -> list[Node]:
        """All nodes of one type, those further out first."""
        return self.by_type.get(kind, [])  # type: ignore[return-value]

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, the nearest first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def function_of(self, node: ast.AST) -> ast.AST:
        """The innermost function around a node; the module if there is none."""
        return next((part for part in self.above(node) if isinstance(part, FUNCTIONS)), self.tree)

    def function_name(self, node: ast.AST) -> str:
        """The qualified name of the function that a node is in, as tracebacks have it."""
        names = [part.name for part in self.above(node) if isinstance(part, (*FUNCTIONS[:2], ast.ClassDef))]
        return ".".join(reversed(names)) or "<module>"

    def class_name(self, node: ast.AST) -> str:
        """The name of the innermost class around a node; "" if there is none."""
        return next((part.name for part in self.above(node) if isinstance(part, ast.ClassDef)), "")

    def name_of(self, node: ast.expr) -> str:
        """The dotted name of an expression, with imports put in; "" if it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.module.imports.get(node.id, node.id))
        return ".".join(reversed(parts))


def span(node: ast.AST) -> Span:
    assert isinstance(node, ast.expr | ast.stmt | ast.excepthandler)
    return Span(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0)


def names_loaded(node: ast.AST) -> set[str]:
    """The names that are read anywhere in a node."""
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    }


def text_of(node: ast.expr) -> str:
    return ast.unparse(node)
