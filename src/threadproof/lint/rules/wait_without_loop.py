"""A condition is waited for once, and not until it holds.

## What it does
Reports `Condition.wait()` without a timeout that is not in a loop.

## Why is this bad?
Between the `notify()` and the moment this thread has the lock again, another thread may have taken what it
waited for. A wait may also have timed out, or the notification may have come before the wait began, and then
it is lost.

## Example
```python
with self._not_empty:
    if not self._items:
        self._not_empty.wait()
    return self._items.pop()  # another thread may have been faster
```

Use instead:

```python
with self._not_empty:
    self._not_empty.wait_for(lambda: self._items)
    return self._items.pop()
```

## When it is fine
When a later test makes up for it, and the wait is only a pause that may end early.

## Sources
threading.Condition in CPython's documentation; SpotBugs WA_NOT_IN_LOOP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if (
                call.method == "wait"
                and not call.loop
                and is_condition(world, call)
                and not is_wrapper(function)
            ):
                if call.args or call.keywords:
                    continue  # a pause that a notify() may cut short
                yield Report(
                    call.span,
                    f"wait() on {world.tree.shown(call.receiver)} is "
                    f"not in a loop that tests what it waits for",
                    function=function.ref,
                    subject=world.tree.canonical(call.receiver),
                )


def is_condition(world: World, call: Call) -> bool:
    place = world.tree.canonical(call.receiver)
    return world.tree.type_of(place) == "threading.Condition" or any(
        value == "call:threading.Condition" for value in world.tree.values_of(place)
    )


def is_wrapper(function: Function) -> bool:
    """Whether a function only passes the wait on, so that the loop is its caller's."""
    return bool(re.match(r"_*(do_)?wait(_|$)", function.name)) or function.name.startswith("__")


RULE = LintRule(
    code="CM210",
    name="wait-without-loop",
    message="Condition.wait() is not in a loop",
    severity=Severity.WARNING,
    group="default",
    advice="use wait_for(predicate), or `while not predicate: wait()`",
    cwe=667,
    check_tree=check,
)
