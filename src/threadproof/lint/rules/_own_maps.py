"""Which expressions of a file are maps of threadproof: by the values assigned, or by annotation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadproof.lint.source import Source, text_of

MAPS = re.compile(r"\b(ConcurrentMap|HashMap|SyncMap|SnapshotMap|ShardedMap|LockedMap)\b")
# Methods that call a function given to them while the key is reserved.
COMPUTES = frozenset({"compute", "compute_if_absent", "compute_if_present", "merge"})


class Maps:
    """The variables and attributes of a file that hold maps; a type alone is as good as a value."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names: set[str] = set()
        self.others: set[tuple[str, str]] = set()  # attributes that hold something else in a class
        if "threadproof" in source.text:
            self.find()

    def __bool__(self) -> bool:
        return bool(self.names)

    def find(self) -> None:
        source = self.source
        for target, value in assigned(source):
            if is_map(source, value):
                self.names.add(text_of(target))
            elif not is_nothing(value):
                self.others.add((source.class_name(target), text_of(target)))
        for node in source.all(ast.AnnAssign):
            if MAPS.search(text_of(node.annotation)):
                self.names.add(text_of(node.target))
            else:
                self.others.add((source.class_name(node), text_of(node.target)))
        for arg in source.all(ast.arg):
            if arg.annotation and MAPS.search(text_of(arg.annotation)):
                self.names.add(arg.arg)
        self.names.discard("self")  # annotated in one method, and another object in another class

    def at(self, node: ast.expr) -> str:
        """The source of an expression that is a map; "" if it is none. `self.x` may be one in one class."""
        text = text_of(node)
        if text not in self.names:
            return ""
        if not text.startswith("self."):
            return text
        return "" if any((name, text) in self.others for name in self.bases(node)) else text

    def bases(self, node: ast.AST) -> set[str]:
        """The class around a node, and those of this file that it inherits from."""
        classes = {found.name: found for found in self.source.all(ast.ClassDef)}
        names, new = set(), [self.source.class_name(node)]
        while new:
            name = new.pop()
            if name in classes and name not in names:
                names.add(name)
                new += [text_of(base) for base in classes[name].bases]
        return names


def is_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


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
    maps = Maps(source)
    for call in source.all(ast.Call) if maps else ():
        if isinstance(call.func, ast.Attribute):
            receiver = maps.at(call.func.value)
            if receiver:
                yield call, receiver, call.func.attr
