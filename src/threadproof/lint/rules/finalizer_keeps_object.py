"""A finalizer keeps the object alive whose end it waits for.

## What it does
Reports `weakref.finalize(obj, ...)` whose function or arguments refer to obj: its bound method, a closure
over it, or the container it is kept in.

## Why is this bad?
The registry of finalizers is global and holds the function and its arguments. If they hold the object, it
lives until the interpreter exits, and the finalizer never runs.

## Example
```python
weakref.finalize(self, self._cleanup)
```

Use instead a function that needs only what is to be cleaned up:

```python
weakref.finalize(self, remove_folder, self.path)
```

## When it is fine
Never; to clean up at exit, use `atexit`.

## Sources
weakref.finalize in CPython's documentation; staticcheck's CheckCyclicFinalizer for Go.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.scopes import parameters
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.source import Source, names_loaded, span, text_of


def check(source: Source) -> Iterator[Report]:
    for node in source.all(ast.Call):
        if source.name_of(node.func) != "weakref.finalize" or len(node.args) < 2:
            continue
        referent = text_of(node.args[0])
        keeper = next((arg for arg in node.args[1:] if keeps(source, node, arg, referent)), None)
        if keeper is None and is_bound(source, node, node.args[1], referent):
            keeper = node.args[1]
        if keeper is not None:
            yield Report(
                span(keeper),
                f"the finalizer holds {referent}, which so never ends",
                function=source.function_name(node),
                subject=referent,
            )


def keeps(source: Source, call: ast.Call, arg: ast.expr, referent: str) -> bool:
    """Whether an argument of finalize() refers to the object."""
    if isinstance(arg, ast.Name | ast.Attribute) and text_of(arg) == referent:
        return True
    if isinstance(arg, ast.Call) and source.name_of(arg.func) == "functools.partial" and arg.args:
        inside = any(keeps(source, call, part, referent) for part in arg.args)
        return inside or is_bound(source, call, arg.args[0], referent)
    if isinstance(arg, ast.Lambda):
        free = names_loaded(arg.body) - set(parameters(arg.args))
        return referent in free or bool(free & owners_of(source, call, referent))
    return False


def is_bound(source: Source, call: ast.Call, function: ast.expr, referent: str) -> bool:
    """Whether a function is a method bound to the object."""
    if not isinstance(function, ast.Attribute) or text_of(function.value) != referent:
        return False
    return not is_static(source, call, function.attr)


def is_static(source: Source, call: ast.Call, method: str) -> bool:
    """Whether a method of the class around does not hold the object: a class or static method."""
    for part in source.above(call):
        if isinstance(part, ast.ClassDef):
            for node in part.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == method:
                    names = {text_of(decorator) for decorator in node.decorator_list}
                    return bool(names & {"classmethod", "staticmethod"})
    return False


def owners_of(source: Source, call: ast.Call, referent: str) -> set[str]:
    """The objects in whose containers the function stores it: `self` of `self.items[k] = obj`."""
    owners: set[str] = set()
    for part in ast.walk(source.function_of(call)):
        if isinstance(part, ast.Assign) and text_of(part.value) == referent:
            for target in part.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Attribute):
                    owners |= names_loaded(target.value)
    return owners


RULE = LintRule(
    code="CM302",
    name="finalizer-keeps-object",
    message="a finalizer keeps its object alive",
    severity=Severity.ERROR,
    group="default",
    advice="give it a plain function, and only what is to be cleaned up",
    cwe=401,
    words=("finalize",),
    check_file=check,
)
