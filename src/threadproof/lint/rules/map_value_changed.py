"""A value in a concurrent map is changed in place.

## What it does
Reports `m[key].append(x)`, `m[key][i] = x`, `m[key].n += 1` and the same on `m.get(key)`, for a map of
threadproof.

## Why is this bad?
The map's steps are atomic, the value's are not: two threads that change one list or object interfere, and the
map cannot see it. `compare_and_swap` and snapshots see the changed value, too.

## Example
```python
groups.setdefault(key, []).append(item)
```

Use a new value, which the map puts in place in one step:

```python
groups.compute(key, lambda key, old: (*old, item), ())
```

## When it is fine
When the value has a lock of its own, or is a container made to be shared, such as a queue.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules._own_maps import Maps
from threadproof.lint.source import Source, span

# Methods of lists, dicts and sets only: add() and update() are also those of counters and maps.
CHANGES = frozenset({"append", "extend", "insert", "remove", "reverse", "sort", "discard", "popitem"})
LOOKS = frozenset({"get", "setdefault"})


def check(source: Source) -> Iterator[Report]:
    maps = Maps(source)
    if not maps:
        return
    for call in source.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in CHANGES:
            yield from changed(source, call.func.value, call, maps)
    stores = [(target, node) for node in source.all(ast.Assign) for target in node.targets]
    for target, store in (*stores, *((node.target, node) for node in source.all(ast.AugAssign))):
        if isinstance(target, ast.Subscript | ast.Attribute):
            yield from changed(source, target.value, store, maps)


def changed(source: Source, value: ast.expr, node: ast.AST, maps: Maps) -> Iterator[Report]:
    """A report if the value that is changed is one of a map's."""
    name = map_of(value, maps)
    if name:
        message = f"a value of {name} is changed in place, where other threads may use it"
        yield Report(span(node), message, function=source.function_name(node), subject=name)


def map_of(value: ast.expr, maps: Maps) -> str:
    """The map that `m[key]`, `m.get(key)` or `m.setdefault(key, ...)` is a value of."""
    if isinstance(value, ast.Subscript):
        return maps.at(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in LOOKS:
        return maps.at(value.func.value)
    return ""


RULE = LintRule(
    code="CM506",
    name="map-value-changed",
    message="a value in a concurrent map is changed in place",
    severity=Severity.WARNING,
    group="default",
    advice="store a new value by compute(), or keep values that have a lock of their own",
    cwe=362,
    words=("threadproof",),
    check_file=check,
)
