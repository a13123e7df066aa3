"""`setdefault` makes a value for each call, and throws it away if there is one already.

## What it does
Reports `d.setdefault(key, make())` in code that several threads run, where making the value is not trivial.

## Why is this bad?
The value is made before `setdefault` looks. Two threads make two; the one that is thrown away may have opened
a connection, or started a thread, that nobody closes.

## Example
```python
return pools.setdefault(host, Pool(host))
```

Use a lock around test and creation, or `compute_if_absent` of a map of threadproof, which calls the function
once.

## When it is fine
When the value is cheap and holds nothing, such as an empty list or a lock.

## Sources
SpotBugs RV_RETURN_VALUE_OF_PUTIFABSENT_IGNORED, for the same trap of ConcurrentHashMap.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge import values
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import sides


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous or function.ref in world.calls.setup:
            continue
        for access in function.accesses:
            if access.kind != "setdefault" or not is_costly(access.value):
                continue
            shared = world.sharing.of(world.tree.variable(access.place))
            if not shared.many or world.calls.locks_at(function, access.held):
                continue
            yield Report(
                access.span,
                f"the value for {shared.variable.shown} is made even if there is one, and then thrown away",
                function=function.ref,
                subject=shared.variable.place,
                related=sides(world, shared, function, access),
                confidence=0.6,
            )


def is_costly(value: str) -> bool:
    worth = values.worth(value)
    if not value.startswith("call:") or (worth is not None and worth < 1.0):
        return False
    return not value.endswith(
        ("Lock", "Condition", "Event", "Semaphore", "Counter", "deque", "Queue", "count")
    )


RULE = LintRule(
    code="CM106",
    name="setdefault-call",
    message="setdefault() makes a value that may be thrown away",
    severity=Severity.NOTE,
    group="preview",
    advice="test and make it under one lock; with a map of threadproof, compute_if_absent()",
    cwe=772,
    per_variable=True,
    check_tree=check,
)
