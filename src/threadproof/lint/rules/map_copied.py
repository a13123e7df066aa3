"""A concurrent map is copied key by key.

## What it does
Reports `dict(m)` and `{**m}` of a map of threadproof.

## Why is this bad?
`dict(m)` asks for the keys and then for each value. A key that is deleted meanwhile raises KeyError, and what
is copied was never in the map at one time.

## Example
```python
saved = dict(sessions)
```

Use one instant of the map:

```python
saved = dict(sessions.snapshot())
```

## When it is fine
When no other thread uses the map any more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.fixes import Edit, insert_text
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules._own_maps import Maps
from threadproof.lint.source import Source, span


def check(source: Source) -> Iterator[Report]:
    maps = Maps(source)
    for node in copied(source) if maps else ():
        name = maps.at(node)
        if name:
            message = f"{name} is copied key by key, and other threads may change it meanwhile"
            yield Report(span(node), message, function=source.function_name(node), subject=name)


def copied(source: Source) -> Iterator[ast.expr]:
    """What is given to dict() alone, or unpacked into a dict."""
    for call in source.all(ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id == "dict" and len(call.args) == 1:
            yield call.args[0]
    for made in source.all(ast.Dict):
        yield from (value for key, value in zip(made.keys, made.values, strict=True) if key is None)


def fix(source: Source, report: Report) -> list[Edit]:
    return [insert_text(source, report.span.end_line, report.span.end_column, ".snapshot()")]


RULE = LintRule(
    code="CM503",
    name="map-copied",
    message="a concurrent map is copied key by key",
    severity=Severity.WARNING,
    group="default",
    advice="copy m.snapshot(), which is one instant of the map",
    fix_safety="safe",
    cwe=362,
    words=("dict(", "**"),
    check_file=check,
    fix=fix,
)
