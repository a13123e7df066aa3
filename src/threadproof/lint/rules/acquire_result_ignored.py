"""The result of a lock's `acquire` that may fail is ignored.

## What it does
Reports `lock.acquire(False)`, `lock.acquire(blocking=False)` and `lock.acquire(timeout=...)` as statements.

## Why is this bad?
Such a call returns False when it did not get the lock. The code after it then runs without the lock, and the
`release()` at its end raises RuntimeError, or releases the lock of another thread.

## Example
```python
lock.acquire(timeout=5)
try:
    update()  # with or without the lock
finally:
    lock.release()
```

Use instead:

```python
if not lock.acquire(timeout=5):
    raise TimeoutError("no lock after 5 s")
try:
    update()
finally:
    lock.release()
```

## When it is fine
When the call only makes sure that the lock is taken, by whichever thread, as for a flag. An `Event` says that
better.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        statements = {call.span for call in function.calls if call.discarded}
        for acquire in function.acquires:
            lock = world.tree.lock(acquire.lock)
            if acquire.blocking or acquire.span not in statements or not lock:
                continue
            if world.tree.lock_kind(lock) not in ("plain", "reentrant", "condition"):
                continue
            yield Report(
                acquire.span,
                f"acquire() may not get {world.tree.shown(lock)}, and its result is ignored",
                function=function.ref,
                subject=lock,
            )


RULE = LintRule(
    code="CM213",
    name="acquire-result-ignored",
    message="result of an acquire() that may fail is ignored",
    severity=Severity.ERROR,
    group="default",
    advice="test the result: `if not lock.acquire(timeout=...): raise TimeoutError`",
    cwe=252,
    check_tree=check,
)
