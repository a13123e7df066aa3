"""The result of a step that may not have happened is ignored.

## What it does
Reports `compare_and_swap` and `compare_and_delete` of a map of threadproof as statements.

## Why is this bad?
Such a call changes nothing if another thread was first. Without a look at the result the change is lost.

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
from threadproof.lint.source import Source, span

CONDITIONAL = frozenset({"compare_and_swap", "compare_and_delete"})


def check(source: Source) -> Iterator[Report]:
    for call, name, method in calls_on_maps(source):
        if method in CONDITIONAL and isinstance(source.parents.get(call), ast.Expr):
            message = (
                f"{method}() changes {name} only if no other thread was first, and its result is ignored"
            )
            yield Report(span(call), message, function=source.function_name(call), subject=name)


RULE = LintRule(
    code="CM501",
    name="map-result-ignored",
    message="the result of a conditional step on a concurrent map is ignored",
    severity=Severity.WARNING,
    group="default",
    advice="test the result, or use compute()",
    cwe=252,
    words=("compare_and_",),
    check_file=check,
)
