"""A lock is made anew for each call, so that no two threads ever share it.

## What it does
Reports `with threading.Lock():`, and a lock in a local variable that no other function can see.

## Why is this bad?
A lock excludes only those who take the same lock. One that each call makes for itself excludes nobody.

## Example
```python
def append(line):
    lock = threading.Lock()
    with lock:
        log.write(line)
```

Use instead:

```python
lock = threading.Lock()

def append(line):
    with lock:
        log.write(line)
```

## When it is fine
Never.

## Sources
pylint W2101; ruff PLW2101, which see the first form.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.locks import KINDS
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.source import Source, span

USES = frozenset({"acquire", "release", "locked", "__enter__", "__exit__", "notify", "notify_all", "wait"})
LOCKS = frozenset(
    name for name, kind in KINDS.items() if name.startswith("threading.") and kind != "semaphore"
)


def check(source: Source) -> Iterator[Report]:
    for node in source.all(ast.Call):
        if source.name_of(node.func) not in LOCKS or node.args:
            continue
        parent = source.parents[node]
        if isinstance(parent, ast.withitem):
            yield Report(
                span(node), "this lock is made here, and excludes nobody", function=source.function_name(node)
            )
        elif isinstance(parent, ast.Assign) and is_private(source, parent):
            (target,) = parent.targets
            assert isinstance(target, ast.Name)
            use = next(u for u in uses_of(source, parent, target.id))
            yield Report(
                span(parent),
                f"{target.id} is made anew for each call, and excludes nobody",
                function=source.function_name(node),
                subject=target.id,
                related=[Related("taken here", span(use))],
            )


def is_private(source: Source, assignment: ast.Assign) -> bool:
    """Whether the lock is a local variable that is only taken and released, in this function."""
    target = assignment.targets[0]
    function = source.function_of(assignment)
    if len(assignment.targets) != 1 or not isinstance(target, ast.Name) or isinstance(function, ast.Module):
        return False
    if isinstance(source.parents[assignment], ast.ClassDef):
        return False
    for part in ast.walk(function):
        if isinstance(part, ast.Global | ast.Nonlocal) and target.id in part.names:
            return False
        if isinstance(part, ast.Assign) and part is not assignment and is_other(part, target.id):
            return False  # in place of something that is needed in other cases
    uses = list(uses_of(source, assignment, target.id))
    return bool(uses) and all(source.function_of(use) is function and only_taken(source, use) for use in uses)


def is_other(assignment: ast.Assign, name: str) -> bool:
    """Whether an assignment gives a name a value that is not None."""
    named = any(isinstance(target, ast.Name) and target.id == name for target in assignment.targets)
    return named and not (isinstance(assignment.value, ast.Constant) and assignment.value.value is None)


def uses_of(source: Source, assignment: ast.Assign, name: str) -> Iterator[ast.Name]:
    for part in ast.walk(source.function_of(assignment)):
        if isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Load):
            yield part


def only_taken(source: Source, use: ast.Name) -> bool:
    parent = source.parents[use]
    return isinstance(parent, ast.withitem) or (isinstance(parent, ast.Attribute) and parent.attr in USES)


RULE = LintRule(
    code="CM202",
    name="lock-per-call",
    message="a lock that is made for each call excludes nobody",
    severity=Severity.ERROR,
    group="default",
    advice="make the lock once, in the module or in __init__",
    cwe=667,
    words=("Lock", "Condition"),
    check_file=check,
)
