"""A thread waits, with a lock held, for code that needs the lock.

## What it does
Reports, under a lock, `join()` on a thread and `result()`, `get()` or `shutdown()` of a pool whose code takes
that lock.

## Why is this bad?
One waits for the end of the other, which waits for the lock: a deadlock, whenever the other has not yet
passed the place where it takes the lock.

## Example
```python
def stop(self):
    with self._lock:
        self._running = False
        self._worker.join()  # the worker wants self._lock
```

Use instead:

```python
def stop(self):
    with self._lock:
        self._running = False
    self._worker.join()
```

## When it is fine
When the other surely is past the place where it takes the lock.

## Sources
Infer STARVATION and DEADLOCK.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.rules._deadlocks import takings, waited_for
from threadproof.lint.tree import World
from threadproof.lint.tree.threads import Entry


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls if not function.asynchronous else ():
            locks = sorted(lock for lock in world.calls.locks_at(function, call.held) if lock != "*")
            entry = waited_for(world, call, locks) if locks else None
            if entry is not None:
                yield deadlock(world, function, call, entry, locks)


def deadlock(world: World, function: Function, call: Call, entry: Entry, locks: list[str]) -> Report:
    lock = locks[0]
    ref, taking = next(takings(world, entry, locks))
    return Report(
        call.span,
        f"{call.method}() waits for {entry.function.name}() while {world.tree.shown(lock)} is held, "
        f"which {entry.function.name}() needs",
        function=function.ref,
        subject=lock,
        severity=Severity.ERROR,
        related=[Related("it takes the lock here", taking.span, world.tree.module_of[ref].path, ref)],
        fix="release the lock before waiting",
    )


RULE = LintRule(
    code="CM221",
    name="wait-for-lock-user",
    message="a thread waits, with a lock held, for code that needs the lock",
    severity=Severity.ERROR,
    group="default",
    advice="release the lock before waiting",
    cwe=833,
    check_tree=check,
)
