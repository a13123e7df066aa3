"""A loop over `sys.modules` runs while another thread may import.

## What it does
Reports loops, comprehensions, `map` and `filter` over `sys.modules` or its views.

## Why is this bad?
Any thread may import a module at any time, and looking at a module's attributes may import too. The loop then
ends in `RuntimeError: dictionary changed size during iteration`.

## Example
```python
for name, module in sys.modules.items():
    inspect(module)
```

Use instead:

```python
for name, module in sys.modules.copy().items():
    inspect(module)
```

`list(sys.modules.items())` makes a tuple for each entry, which may start a garbage collection, which runs
Python.

## When it is fine
In a program of one thread whose loop imports nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.fixes import Edit, insert_text
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.source import FUNCTIONS, Source, span

VIEWS = frozenset({"keys", "values", "items"})
# Dicts of the standard library that belong to all threads, and who changes them.
GLOBAL_DICTS = {
    "sys.modules": "imports",
    "sys.path_importer_cache": "imports",
    "linecache.cache": "formats a traceback",
    "logging.root.manager.loggerDict": "asks for a new logger",
    "logging.Logger.manager.loggerDict": "asks for a new logger",
    "threading._active": "starts or ends",
}
LAZY = frozenset({"map", "filter", "enumerate", "zip", "reversed", "iter"})


def check(source: Source) -> Iterator[Report]:
    for node in iterated(source):
        while (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in LAZY
            and node.args
        ):
            node = node.args[-1]
        found, name = dict_in(source, node)
        if found is not None:
            yield Report(
                span(found),
                f"{name} changes while this loop runs, if any thread {GLOBAL_DICTS[name]}",
                function=source.function_name(node),
                subject=name,
                fix=f"loop over {name}.copy()",
            )


def iterated(source: Source) -> Iterator[ast.expr]:
    """Everything that is iterated one item at a time, with Python code in between."""
    yield from (loop.iter for loop in source.all(ast.For))
    yield from (generator.iter for generator in source.all(ast.comprehension))
    for call in source.all(ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id in ("map", "filter") and len(call.args) == 2:
            parent = source.parents[call]
            if not isinstance(parent, ast.For | ast.comprehension):
                yield call


def dict_in(source: Source, node: ast.expr) -> tuple[ast.expr | None, str]:
    """The global dict of an expression that is it, or a view of it, and its name."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VIEWS:
        node = node.func.value
    if (
        isinstance(node, ast.Call)
        and source.name_of(node.func).endswith(("iteritems", "itervalues"))
        and node.args
    ):
        node = node.args[0]
    if isinstance(node, ast.Attribute) and (name := source.name_of(node)) in GLOBAL_DICTS:
        return node, name
    if isinstance(node, ast.Name) and is_alias(source, node):
        return node, "sys.modules"
    return None, ""


def is_alias(source: Source, node: ast.Name) -> bool:
    """Whether a variable is `sys.modules`, in this function or in the module."""
    if source.module.imports.get(node.id) == "sys.modules":
        return True
    scope = source.function_of(node)
    values = [
        assignment.value
        for assignment in source.all(ast.Assign)
        if any(isinstance(target, ast.Name) and target.id == node.id for target in assignment.targets)
        and source.function_of(assignment) is scope
    ]
    bound = isinstance(scope, FUNCTIONS) and any(
        arg.arg == node.id for arg in ast.walk(scope) if isinstance(arg, ast.arg)
    )
    return (
        bool(values)
        and not bound
        and all(
            isinstance(value, ast.Attribute) and source.name_of(value) == "sys.modules" for value in values
        )
    )


def fix(source: Source, report: Report) -> Sequence[Edit]:
    return [insert_text(source, report.span.end_line, report.span.end_column, ".copy()")]


RULE = LintRule(
    code="CM105m",
    name="iterate-sys-modules",
    message="loop over a dict of the standard library that any thread may change",
    severity=Severity.WARNING,
    group="default",
    advice="loop over a copy()",
    fix_safety="safe",
    cwe=662,
    words=("sys.modules", "import modules", "loggerDict", "importer_cache", "linecache", "threading._active"),
    check_file=check,
    fix=fix,
)
