"""A function that computes a key's value uses the same map.

## What it does
Reports a lambda or local function given to `compute`, `compute_if_absent`, `compute_if_present` or `merge` of
a map of threadproof that calls a method of the same map.

## Why is this bad?
The key is reserved while the function runs. If the function waits for a key that another thread has reserved,
which waits in turn for this one, the map raises DeadlockError. For the same key it always does.

## Example
```python
totals.compute_if_absent(key, lambda key: totals[parent(key)] + 1)
```

Use instead:

```python
above = totals[parent(key)]
totals.compute_if_absent(key, lambda key: above + 1)
```

## When it is fine
When the keys have an order, and each is computed from smaller ones only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules._own_maps import computing
from threadproof.lint.source import Source, span, text_of


def check(source: Source) -> Iterator[Report]:
    for _, name, _, body in computing(source):
        use = use_of(body, name)
        if use is not None:
            message = f"{name} is used in the function that computes a value of it"
            yield Report(span(use), message, function=source.function_name(use), subject=name)


def use_of(function: ast.AST, name: str) -> ast.expr | None:
    """The first use of the map in a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Subscript) and text_of(node.value) == name:
            return node
    return None


RULE = LintRule(
    code="CM502",
    name="map-used-in-compute",
    message="a function that computes a value of a concurrent map uses that map",
    severity=Severity.WARNING,
    group="default",
    advice="look the other keys up before, and give the function what it needs",
    cwe=833,
    words=("compute", "merge"),
    check_file=check,
)
