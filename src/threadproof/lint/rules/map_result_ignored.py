"""The result of a step that may not have happened is ignored.

## What it does
Reports `compare_and_swap` and `compare_and_delete` of a map of threadproof as statements, and
`setdefault(key, value)` as a statement where `value` is used afterwards.

## Why is this bad?
Such a call changes nothing if another thread was first. Without a look at the result the change is lost; and
the value that is used after `setdefault` may be another one than that in the map.

## Example
```python
sessions.compare_and_swap(key, old, new)
```

Use instead:

```python
if not sessions.compare_and_swap(key, old, new):
    ...  # look again, and decide anew
```

or `compute(key, fn)`, which cannot be late.

## When it is fine
When it does not matter which of several threads is first.

## Sources
SpotBugs RV_RETURN_VALUE_OF_PUTIFABSENT_IGNORED.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules._own_maps import calls_on_maps
from threadproof.lint.source import Source, span, text_of

CONDITIONAL = frozenset({"compare_and_swap", "compare_and_delete"})


def check(source: Source) -> Iterator[Report]:
    for call, name, method in calls_on_maps(source):
        if not isinstance(source.parents.get(call), ast.Expr):
            continue
        message = ""
        if method in CONDITIONAL:
            message = (
                f"{method}() changes {name} only if no other thread was first, and its result is ignored"
            )
        elif method == "setdefault" and is_used_after(source, call):
            value = text_of(call.args[1])
            message = f"{value} is used as if it were in {name}, but another thread may have been first"
        if message:
            yield Report(span(call), message, function=source.function_name(call), subject=name)


def is_used_after(source: Source, call: ast.Call) -> bool:
    """Whether the variable that is given as the default is read later in the function."""
    if len(call.args) < 2 or not isinstance(call.args[1], ast.Name):
        return False
    name = call.args[1].id
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Load)
        and node.lineno > (call.end_lineno or call.lineno)
        for node in ast.walk(source.function_of(call))
    )


RULE = LintRule(
    code="CM501",
    name="map-result-ignored",
    message="the result of a conditional step on a concurrent map is ignored",
    severity=Severity.WARNING,
    group="default",
    advice="use the result, or compute()",
    cwe=252,
    words=("compare_and_", "setdefault"),
    check_file=check,
)
