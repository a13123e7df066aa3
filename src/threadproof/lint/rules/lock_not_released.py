"""A lock that is taken by `acquire()` is not released on every path.

## What it does
Follows every path of a function from `acquire()` on, through branches, loops and exceptions, and reports a
lock that some path leaves locked although others release it.

## Why is this bad?
The lock stays locked for ever. The next thread that wants it waits without end, often long after the
exception that caused it has been logged and forgotten.

## Example
```python
self._lock.acquire()
self._write(data)  # raises, and the lock stays locked
self._lock.release()
```

Use instead:

```python
with self._lock:
    self._write(data)
```

## When it is fine
When another function releases the lock; then no path of this one does, and it is not reported.

## Sources
SpotBugs UL_UNRELEASED_LOCK_EXCEPTION_PATH.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.expressions import FALSE
from threadproof.lint.facts.model import Function, Leak
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World

EXITS = {
    "return": "this path leaves with the lock held",
    "raise": "this exception leaves with the lock held",
    "yield": "an exception of who uses the generator, or its end, leaves here with the lock held",
    "call": "an exception raised here leaves with the lock held",
}
KINDS = frozenset({"plain", "reentrant", "condition", "semaphore", "unknown"})
HANDS_OVER = ("acquire", "lock", "enter", "begin", "start", "open", "checkout", "take", "grab")


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for leak in function.leaks:
            lock = world.tree.lock(leak.lock)
            if not lock and leak.lock and is_by_lock(function, leak):
                lock = world.tree.canonical(leak.lock)
            elif (
                world.tree.lock_kind(lock) not in KINDS
                or "()" in lock
                or is_of_something(world, function, lock, leak)
                or (
                    is_semaphore(world, lock)
                    and (leak.how == "return" or not is_released_here(world, function, lock))
                )
                or is_handed_over(world, function, lock, leak)
            ):
                continue
            yield Report(
                leak.span,
                f"{world.tree.shown(lock)} is not released on every path",
                function=function.ref,
                subject=lock,
                related=[Related(EXITS[leak.how], leak.exit, function=function.ref)],
            )


def is_by_lock(function: Function, leak: Leak) -> bool:
    """Whether `lock()` took it: of a mutex of another library, or of a device that `unlock()` gives back."""
    return leak.how != "return" and any(
        call.span == leak.span and call.method == "lock" and not call.args for call in function.calls
    )


def is_of_something(world: World, function: Function, lock: str, leak: Leak) -> bool:
    """Whether `acquire(what)` takes something else than the lock itself, as a channel of a device."""
    calls = [call for call in function.calls if call.span == leak.span]
    unknown = world.tree.lock_kind(lock) == "unknown"
    return unknown and any(call.args and call.args[0] not in ("", FALSE) for call in calls)


def is_semaphore(world: World, lock: str) -> bool:
    return world.tree.lock_kind(lock) == "semaphore" or "semaphore" in lock.lower()


def is_released_here(world: World, function: Function, lock: str) -> bool:
    """Whether no other function releases a semaphore, which any thread may."""
    return not any(
        call.method == "release" and world.tree.lock(call.receiver) == lock
        for other in world.tree.functions.values()
        if other is not function
        for call in other.calls
    )


def is_handed_over(world: World, function: Function, lock: str, leak: Leak) -> bool:
    """Whether another function releases the lock that this one leaves locked."""
    if function.name.strip("_").lower().startswith(HANDS_OVER) or function.name == "__enter__":
        return True
    if leak.how != "return":
        return False
    owner = lock.rpartition(".")[0]
    for other in world.tree.functions.values():
        if other is function or not other.ref.startswith(owner):
            continue
        releases = [c for c in other.calls if c.method == "release" and world.tree.lock(c.receiver) == lock]
        if releases and not any(world.tree.lock(a.lock) == lock for a in other.acquires):
            return True
    return False


RULE = LintRule(
    code="CM201",
    name="lock-not-released",
    message="lock not released on every path",
    severity=Severity.ERROR,
    group="default",
    advice="use `with lock:`, or release it in `finally`",
    fix_safety="safe",
    cwe=667,
    per_variable=True,
    check_tree=check,
)
