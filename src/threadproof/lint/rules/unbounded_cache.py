"""A cache only grows.

## What it does
Reports `lru_cache(maxsize=None)` and `cache` on methods, and a module's dict that is filled under keys that
callers choose and from which nothing is ever removed.

## Why is this bad?
Memory grows with the number of keys, for as long as the process lives. On a method the cache keeps every
`self` alive.

## Example
```python
class Client:
    @functools.lru_cache(maxsize=None)
    def fetch(self, key): ...
```

Use a Cache of threadproof with a bound, or `cached_property`, or a cache in the instance.

## When it is fine
When there are only so many keys.

## Sources
ruff B019; pylint W1518.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.containers import REMOVES
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        caches = [name for name in function.decorators if name in ("functools.lru_cache", "functools.cache")]
        if function.owner and caches and not any(name.endswith("method") for name in function.decorators):
            yield Report(
                function.span._replace(end_line=function.span.line, end_column=function.span.column + 1),
                f"the cache of {function.name}() keeps every object alive on which it was called",
                function=function.ref,
            )
    for variable in world.tree.variables_of(part.name):
        kinds = {use.access.kind for use in variable.uses}
        if (
            variable.owner
            or variable.kind() != "dict"
            or kinds & (REMOVES | {"delitem"})
            or "cache" not in variable.name.lower()
        ):
            continue
        for use in variable.uses:
            if use.access.kind == "setitem" and use.access.key in use.function.params:
                yield Report(
                    use.access.span,
                    f"{variable.name} gets a key for each {use.access.key}, and never loses one",
                    function=use.function.ref,
                    subject=variable.place,
                )


RULE = LintRule(
    code="CM305",
    name="unbounded-cache",
    message="a cache only grows",
    severity=Severity.NOTE,
    group="optional",
    advice="give it a bound: a Cache of threadproof, or lru_cache(maxsize=...)",
    cwe=770,
    check_tree=check,
)
