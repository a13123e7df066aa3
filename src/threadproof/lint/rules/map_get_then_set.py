"""A concurrent map is read and written in two steps.

## What it does
Reports `if key not in m: m[key] = ...`, `if m.get(key) is None: m[key] = ...` and `m[key] += n` on a map of
threadproof.

## Why is this bad?
Each step is atomic, the two together are not: another thread can write in between, and its value is lost.
Whoever uses such a map has threads, so that no more evidence is needed.

## Example
```python
if key not in sessions:
    sessions[key] = Session()
counts[key] += 1
```

Use one step:

```python
sessions.compute_if_absent(key, lambda key: Session())
counts.add(key, 1)
```

## When it is fine
When only one thread writes this key.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.rules._own_maps import own_maps
from threadproof.lint.source import Source, span, text_of


def check(source: Source) -> Iterator[Report]:
    maps = own_maps(source)
    if not maps:
        return
    for update in source.all(ast.AugAssign):
        if isinstance(update.target, ast.Subscript) and text_of(update.target.value) in maps:
            name = text_of(update.target)
            message = f"{name} is read and written in two steps"
            yield Report(span(update), message, function=source.function_name(update), subject=name)
    for test in source.all(ast.If):
        yield from tested(source, test, maps)


def tested(source: Source, node: ast.If, maps: set[str]) -> Iterator[Report]:
    """A test for a missing key, with the store that depends on it."""
    looked = missing(node.test)
    if looked is None or looked[0] not in maps or source.parents.get(node) is None:
        return
    for statement in node.body:
        if not isinstance(statement, ast.Assign):
            continue
        for target in statement.targets:
            if isinstance(target, ast.Subscript) and (text_of(target.value), text_of(target.slice)) == looked:
                message = f"{text_of(target)} may have come between the test and this store"
                related = [Related("tested here", span(node.test))]
                function = source.function_name(node)
                yield Report(span(statement), message, function=function, subject=looked[0], related=related)


def missing(test: ast.expr) -> tuple[str, str] | None:
    """The map and the key of `key not in m` and `m.get(key) is None`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    (operator,), (right,) = test.ops, test.comparators
    if isinstance(operator, ast.NotIn):
        return text_of(right), text_of(test.left)
    is_get = isinstance(test.left, ast.Call) and isinstance(test.left.func, ast.Attribute)
    if (
        isinstance(operator, ast.Is)
        and is_get
        and isinstance(test.left, ast.Call)
        and len(test.left.args) == 1
    ):
        assert isinstance(test.left.func, ast.Attribute)
        if test.left.func.attr == "get":
            return text_of(test.left.func.value), text_of(test.left.args[0])
    return None


RULE = LintRule(
    code="CM504",
    name="map-get-then-set",
    message="a concurrent map is read and written in two steps",
    severity=Severity.WARNING,
    group="default",
    advice="use compute(), compute_if_absent() or add(), which are one step",
    cwe=362,
    words=("threadproof",),
    check_file=check,
)
