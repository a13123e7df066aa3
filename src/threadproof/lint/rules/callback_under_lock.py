"""Somebody else's code is called while a lock is held.

## What it does
Reports a call, under a plain Lock, of a function that was stored or handed in: a listener, a callback, a
hook.

## Why is this bad?
Nobody knows what it does. If it comes back to this object, it waits for the lock that its own thread holds;
if it takes a lock of its own, there is a new order of locks; if it is slow, everybody waits.

## Example
```python
with self._lock:
    for callback in self._callbacks:
        callback(event)
```

Use instead:

```python
with self._lock:
    callbacks = list(self._callbacks)
for callback in callbacks:
    callback(event)
```

## When it is fine
When the callback is documented to run under the lock.

## Sources
Infer's ARBITRARY_CODE_EXECUTION_UNDER_LOCK; "Effective Java", item 79.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World

CALLBACKS = re.compile(
    r"(^|_)(cb|cbs|callbacks?|listeners?|handlers?|hooks?|observers?|subscribers?|on_\w+)(\[\])?$"
)


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous:
            continue
        for call in function.calls:
            locks = [lock for lock in world.tree.locks(call.held) if world.tree.lock_kind(lock) == "plain"]
            if locks and is_callback(world, call):
                yield Report(
                    call.span,
                    f"a callback is called while {world.tree.shown(sorted(locks)[0])} is held",
                    function=function.ref,
                    subject=sorted(locks)[0],
                    confidence=0.6,
                )
                break


def is_callback(world: World, call: Call) -> bool:
    """Whether a call is of a stored function: an attribute, or one of a container of callbacks."""
    target = call.target
    if target.endswith("[]"):
        return bool(CALLBACKS.search(world.tree.canonical(target).rpartition(".")[2]))
    if (
        world.tree.called(target)
        or target.startswith(("builtins.", "?"))
        or "()" in target
        or "<locals>" in target
    ):
        return False
    place = world.tree.canonical(target)
    variable = world.tree.variables.get(place)
    stored = variable is not None and any(use.access.kind == "write" for use in variable.uses)
    return stored and bool(CALLBACKS.search(place.rpartition(".")[2]))


RULE = LintRule(
    code="CM208",
    name="callback-under-lock",
    message="a callback is called with a lock held",
    severity=Severity.NOTE,
    group="preview",
    advice="copy what is to be called under the lock, and call it afterwards",
    cwe=833,
    check_tree=check,
)
