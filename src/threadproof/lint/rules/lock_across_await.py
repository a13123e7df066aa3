"""A lock of threads is held while a coroutine waits.

## What it does
Reports `await`, `async for` and `async with` inside `with lock:`, where the lock is one of `threading`.

## Why is this bad?
While the coroutine waits, the event loop runs others in the same thread. One of them that wants the lock
blocks the whole loop, and so the coroutine that holds the lock never goes on: a deadlock with a single
thread.

## Example
```python
async def refresh(self):
    with self._lock:
        self.value = await fetch()
```

Use `asyncio.Lock` with `async with` where only coroutines take the lock, or wait outside of it:

```python
async def refresh(self):
    value = await fetch()
    with self._lock:
        self.value = value
```

## When it is fine
Never, if the lock can be wanted by two coroutines of one loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World

# A lock of asyncio cannot be taken by a plain `with`: what is named so and taken so belongs to threads or
# files.
BLOCKING = frozenset({"plain", "reentrant", "condition", "semaphore", "unknown"})


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if not function.asynchronous:
            continue
        seen: set[int] = set()
        for span, held in function.awaits:
            for hold in held:
                lock = world.tree.lock(hold.lock)
                if hold.asynchronous or not lock or hold.section in seen:
                    continue
                if world.tree.lock_kind(lock) in BLOCKING:
                    seen.add(hold.section)
                    yield from report(world, function, lock, span)


def report(world: World, function: Function, lock: str, span: tuple[int, int, int, int]) -> Iterator[Report]:
    taken = [acquire for acquire in function.acquires if world.tree.lock(acquire.lock) == lock]
    before = [acquire for acquire in taken if acquire.span <= span]
    yield Report(
        (before or taken)[-1].span,
        f"{world.tree.shown(lock)} is held over an await",
        function=function.ref,
        subject=lock,
        related=[Related("the coroutine waits here, and the loop runs others", span, function=function.ref)],  # type: ignore[arg-type]
    )


RULE = LintRule(
    code="CM211",
    name="lock-across-await",
    message="threading lock held over await",
    severity=Severity.ERROR,
    group="default",
    advice="await outside of the lock, or use asyncio.Lock",
    cwe=833,
    check_tree=check,
)
