"""A key is "removed" by storing None under it.

## What it does
Reports `cache[key] = None` in a function that is called so as to remove, where other code reads with `get`
and nothing ever deletes a key.

## Why is this bad?
The map never gets smaller, however much is removed. And readers cannot tell a key that was removed from one
that never was, nor from one whose value is None; code that tests `key in cache` finds it still there.

## Example
```python
def evict(key):
    cache[key] = None
```

Use `cache.pop(key, None)`.

## When it is fine
When None says that the value is known not to exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World

REMOVERS = re.compile(r"^_*(evict|remove|delete|drop|discard|expire|invalidate|forget|purge|del)(_|$)")
TAKES = frozenset({"delitem", "pop", "popitem", "clear"})


def check(world: World, part: Part) -> Iterator[Report]:
    if not world.tree.modules[part.name].signs & {"threads", "locks"}:
        return
    for function in part.functions:
        if not REMOVERS.match(function.name):
            continue
        for access in function.accesses:
            if access.kind == "setitem" and access.value == "none":
                variable = world.tree.variable(access.place)
                kinds = {use.access.kind for use in variable.uses}
                if variable.kind() == "dict" and not kinds & TAKES and kinds & {"get", "contains"}:
                    yield Report(
                        access.span,
                        f"{function.name}() leaves the key in {variable.shown}, with None under it",
                        function=function.ref,
                        subject=variable.place,
                        confidence=0.7,
                    )


RULE = LintRule(
    code="CM303",
    name="none-as-tombstone",
    message="None is stored to remove a key",
    severity=Severity.NOTE,
    group="preview",
    advice="use pop(key, None)",
    cwe=401,
    check_tree=check,
)
