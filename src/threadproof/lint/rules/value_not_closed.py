"""What must be closed is kept in a map, and removed from it without being closed.

## What it does
Reports sockets, files, connections and processes that are stored in a dict of a class or module, from which
keys are deleted, in a module that never closes any.

## Why is this bad?
The last reference goes with the key. Whether and when the resource is released is left to the garbage
collector.

## Example
```python
connections[host] = socket.create_connection((host, 80))
...
del connections[host]
```

Use instead:

```python
connection = connections.pop(host, None)
if connection is not None:
    connection.close()
```

or a Cache of threadproof with `on_evict`.

## When it is fine
When whoever deletes the key has the value, and closes it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.blocking import CLOSEABLE
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.index import Use, Variable

CLOSES = frozenset(
    {"close", "shutdown", "quit", "terminate", "kill", "stop", "disconnect", "__exit__", "clear", "wait"}
)


def check(world: World, part: Part) -> Iterator[Report]:
    if any(call.method in CLOSES for function in part.functions for call in function.calls):
        return
    for variable in world.tree.variables_of(part.name):
        made, taken = stores(world, variable), removals(variable)
        for use in made if taken else ():
            yield report(variable, use, taken[0], "opened here, and stored")
        for use in taken if made else ():
            yield report(variable, use, made[0], "removed here")


def stores(world: World, variable: Variable) -> list[Use]:
    return [
        use
        for use in variable.uses
        if use.access.kind == "setitem"
        and world.tree.resolve(use.access.value.removeprefix("call:")) in CLOSEABLE
    ]


def removals(variable: Variable) -> list[Use]:
    return [use for use in variable.uses if use.access.kind == "delitem"]


def report(variable: Variable, use: Use, other: Use, what: str) -> Report:
    return Report(
        use.access.span,
        f"{what}: the values of {variable.shown} are never closed",
        function=use.function.ref,
        subject=variable.place,
        related=[Related("the other side", other.access.span, function=other.function.ref)],
        confidence=0.7,
    )


RULE = LintRule(
    code="CM304",
    name="value-not-closed",
    message="a resource kept in a map is never closed",
    severity=Severity.NOTE,
    group="preview",
    advice="pop it and close it; with a Cache of threadproof, on_evict",
    cwe=772,
    check_tree=check,
)
