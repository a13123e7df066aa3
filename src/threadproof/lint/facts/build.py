"""The one pass over a file's syntax tree that makes its facts."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Sequence

from threadproof.lint.facts.accesses import span_of
from threadproof.lint.facts.expressions import Expressions
from threadproof.lint.facts.leaks import leaks_of
from threadproof.lint.facts.model import Class, Function, Hold, Leak, Module, Span
from threadproof.lint.facts.notes import DECORATORS, comments_at, declared, name_says_held
from threadproof.lint.facts.references import Ref
from threadproof.lint.facts.scopes import FunctionNode, Scope, scopes_of
from threadproof.lint.facts.statements import Statements, imported

SYNCHRONIZED = re.compile(
    r"(^|_)(synchroni[sz]ed?|locked|with_\w*lock|lock|needs_lock|guarded|thread_?safe|exclusive)(_|$)"
)


def build(tree: ast.Module, lines: Sequence[str], name: str, path: str, signs: frozenset[str]) -> Module:
    """Make the facts of one file."""
    module = Module(name, path, {}, signs, lines=len(lines))
    return Builder(module, tree, lines).build(tree)


class Builder:
    """Walks every function of a file, each after the one it stands in."""

    def __init__(self, module: Module, tree: ast.Module, lines: Sequence[str]) -> None:
        self.module = module
        self.lines = lines
        self.scopes = scopes_of(tree)
        self.queue: deque[tuple[FunctionNode, Function, Expressions]] = deque()
        self.has_lambdas: dict[str, int] = {}

    def build(self, tree: ast.Module) -> Module:
        module, scope = self.module, self.scopes[tree]
        for statement in top_level(tree.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                module.imports.update(imported(statement, module.name, module.path))
        named = {node.name for node in tree.body if isinstance(node, DEFINITIONS)}
        module.variables = scope.bound - set(module.imports) - named
        docstring = ast.get_docstring(tree, clean=False) or ""
        module.notes = declared(docstring)
        body = Function(module.name + ".<module>", "<module>", Span(1, 0, 1, 0))
        self.walk(body, scope, None, tree.body)
        while self.queue:
            node, function, outer = self.queue.popleft()
            self.walk_function(node, function, outer)
        return module

    def walk(
        self, function: Function, scope: Scope, outer: Expressions | None, body: list[ast.stmt]
    ) -> Statements:
        walker = Statements(self.module, scope, function, outer, self.found_function)
        walker.later_class = self.found_class
        self.module.functions[function.ref] = function
        walker.block(body)
        return walker

    # --- classes ---

    def found_class(self, node: ast.ClassDef, outer: Expressions) -> None:
        ref = self.ref_in(node.name, outer)
        docstring = ast.get_docstring(node, clean=False) or ""
        notes = declared(docstring + comments_at(self.lines, node.lineno - 1, node.lineno))
        decorators = [
            outer.resolve(part.func if isinstance(part, ast.Call) else part).name
            for part in node.decorator_list
        ]
        bases = [outer.resolve(base).name or outer.annotated(base) for base in node.bases]
        notes |= {name.rpartition(".")[2] for name in decorators} & DECORATORS
        self.module.classes[ref] = Class(ref, node.name, span_of(node), bases, {}, decorators, notes)
        body = Function(f"{ref}.<class>", "<class>", span_of(node), ref, outer.function.ref)
        self.walk(body, self.scopes[node], outer, node.body)
        self.declare_guards(ref, node)

    def declare_guards(self, ref: str, node: ast.ClassDef) -> None:
        """`self.items = {}  # threadproof: guarded_by(_lock)`."""
        found = self.module.classes[ref]
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            line = self.lines[number - 1] if number <= len(self.lines) else ""
            if "threadproof:" not in line:
                continue
            match = re.match(
                r"\s*(?:self\.)?(\w+)\s*(?::[^=]*)?=.*#\s*threadproof:\s*guarded_by\(['\"]?(\w+)", line
            )
            if match:
                found.guards[match[1]] = match[2]

    def ref_in(self, name: str, outer: Expressions) -> str:
        function = outer.function
        if function.name == "<module>":
            return f"{self.module.name}.{name}"
        if function.name == "<class>":
            return f"{function.owner}.{name}"
        return f"{function.ref}.<locals>.{name}"

    # --- functions ---

    def found_function(self, node: FunctionNode, outer: Expressions) -> str:
        """Note a function, to be walked when the one it stands in has been."""
        name = name_of(node)
        ref = self.ref_in(name, outer)
        while ref in self.module.functions:  # defined again, as in `if`/`else`, or a property's setter
            ref += "'"
        function = self.module.functions[ref] = Function(ref, name, span_of(node), parent=outer.function.ref)
        if outer.function.name == "<class>":
            function.owner = outer.function.owner
            if not isinstance(node, ast.Lambda):
                self.module.classes[function.owner].methods.setdefault(name, ref)
        self.describe(function, node, outer)
        self.queue.append((node, function, outer))
        return ref

    def describe(self, function: Function, node: FunctionNode, outer: Expressions) -> None:
        args = node.args
        function.params = tuple(arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs))
        if isinstance(node, ast.Lambda):
            return
        function.asynchronous = isinstance(node, ast.AsyncFunctionDef)
        function.decorators = tuple(
            outer.resolve(part.func if isinstance(part, ast.Call) else part).name
            for part in node.decorator_list
        )
        first = node.body[0]
        docstring = ast.get_docstring(node, clean=False) or ""
        said = docstring + "\n" + comments_at(self.lines, node.lineno - 2, first.end_lineno or first.lineno)
        notes = set(declared(said))
        if name_says_held(node.name):
            notes.add("requires")
        for part, name in zip(node.decorator_list, function.decorators, strict=True):
            notes |= decorated(part, name.rpartition(".")[2])
        if notes:  # an empty set of its own would take 216 bytes
            function.notes = frozenset(notes)

    def walk_function(self, node: FunctionNode, function: Function, outer: Expressions) -> None:
        scope = self.scopes[node]
        walker = Statements(self.module, scope, function, outer, self.found_function)
        walker.later_class = self.found_class
        self.bind_parameters(walker, node, function)
        walker.held = self.held_at_entry(function, walker)
        if isinstance(node, ast.Lambda):
            name = walker.visit(node.body).name
            function.returns_value = True
            function.returned.append(name)
            return
        function.generator = scope.yields
        walker.block(node.body)
        if any(acquire.by_call for acquire in function.acquires) or (
            {"lock", "unlock"} <= {call.method for call in function.calls}
        ):
            function.leaks = [
                Leak(walker.resolve(leak.lock).name, span_of(leak.acquire), span_of(leak.exit), leak.how)
                for leak in leaks_of(node)
            ]

    def bind_parameters(self, walker: Statements, node: FunctionNode, function: Function) -> None:
        args = [*node.args.posonlyargs, *node.args.args]
        static = any(name.endswith("staticmethod") for name in function.decorators)
        if function.owner and args and not static:
            walker.values[args[0].arg] = Ref(function.owner, common=is_of_class(function))
            args = args[1:]
        elif not function.owner and args and args[0].arg in SELF and walker.owner():
            walker.values[args[0].arg] = Ref(walker.owner())  # a method that another method makes
        for arg in (*args, *node.args.kwonlyargs):
            annotation = walker.annotated(arg.annotation)
            if annotation in self.module.classes or annotation.startswith(
                ("threading.", "queue.", "concurrent.")
            ):
                walker.values[arg.arg] = Ref(annotation)

    def held_at_entry(self, function: Function, walker: Statements) -> tuple[Hold, ...]:
        """The locks that a decorator such as `@synchronized` takes, or that `@requires_lock` demands."""
        held = [
            Hold(f"decorator:{name}", -1)
            for name in function.decorators
            if SYNCHRONIZED.search(name.rpartition(".")[2].lower())
        ]
        owner = walker.owner()
        for note in function.notes:
            kind, _, lock = note.partition(":")
            if kind == "requires" and lock and owner:
                held.append(Hold(f"{owner}.{lock}", -1))
        return tuple(held)


def is_of_class(function: Function) -> bool:
    """Whether the first argument of a method is the class."""
    return function.name in CLASS_METHODS or any(name.endswith("classmethod") for name in function.decorators)


def name_of(node: FunctionNode) -> str:
    return f"<lambda:{node.lineno}:{node.col_offset}>" if isinstance(node, ast.Lambda) else node.name


CLASS_METHODS = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})
SELF = frozenset({"self", "_self", "self_", "this"})
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def decorated(node: ast.expr, name: str) -> set[str]:
    """The note that a decorator of `threadproof.annotations` makes."""
    if name not in DECORATORS:
        return set()
    argument = ""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        argument = f":{node.args[0].value!s}"
    return {name.replace("requires_lock", "requires") + argument}


def top_level(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, with those in its `if`, `try` and `with`."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, DEFINITIONS):
                found += top_level(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            found += top_level(handler.body)
    return found
