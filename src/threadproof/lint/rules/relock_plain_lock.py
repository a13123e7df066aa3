"""A plain lock is taken by a thread that holds it already.

## What it does
Reports a call, made under a `threading.Lock`, of a function that takes the same lock of the same object.

## Why is this bad?
A Lock does not know who holds it. The thread waits for itself, for ever.

## Example
```python
def put(self, k, v):
    with self._lock:
        if len(self) > 100:  # __len__ takes self._lock
            self.evict()
```

Split the function into one that takes the lock and one that is called with it held, or use `threading.RLock`.

## When it is fine
When the inner function is only called so where it does not take the lock.

## Sources
Infer's DEADLOCK; SpotBugs.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Function, Span
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        seen: set[str] = set()
        for order in world.deadlocks.orders_in(function):
            if (
                order.first != order.second
                or order.first in seen
                or world.tree.lock_kind(order.first) != "plain"
            ):
                continue
            if not order.taking.via and order.first not in held_here(world, function, order.taking.span):
                continue  # the callers hold it; it is reported where they call
            if "[]" in order.first or not same_object(function.owner, order.taking.via):
                continue
            if any(tries(world, one, order.first) for one in (function, *order.taking.via)):
                continue  # it knows whether the lock is held
            if any(is_released_first(world, one, order.first) for one in order.taking.via):
                continue  # it is given back for a while, and taken again
            if released_elsewhere(world, function, order.first):
                continue  # it is no guard, but the signal that another thread is done
            seen.add(order.first)
            yield Report(
                order.taking.span,
                f"{world.tree.shown(order.first)} is held here already, and taken again: "
                f"the thread waits for itself",
                function=function.ref,
                subject=order.first,
                related=[
                    Related("and takes it here", inner_span(world, order.first, one), function=one.ref)
                    for one in order.taking.via[-1:]
                ],
            )


def held_here(world: World, function: Function, span: Span) -> set[str]:
    return {
        lock
        for acquire in function.acquires
        if acquire.span == span
        for lock in world.tree.locks(acquire.held)
    }


def tries(world: World, function: Function, lock: str) -> bool:
    """Whether a function has a test of whether it can have the lock at once."""
    return any(not one.blocking and world.tree.lock(one.lock) == lock for one in function.acquires)


def is_released_first(world: World, function: Function, lock: str) -> bool:
    """Whether a function that takes a lock releases it before, as one does that is called with it held."""
    releases = [
        call.span
        for call in function.calls
        if call.method == "release" and call.receiver and world.tree.lock(call.receiver) == lock
    ]
    taken = [acquire.span for acquire in function.acquires if world.tree.lock(acquire.lock) == lock]
    return bool(releases and taken) and min(releases) < min(taken)


def released_elsewhere(world: World, function: Function, lock: str) -> bool:
    """Whether another function releases a lock that it does not take."""
    for other in world.tree.functions.values():
        if other is not function and not any(world.tree.lock(one.lock) == lock for one in other.acquires):
            for call in other.calls:
                if call.method == "release" and call.receiver and world.tree.lock(call.receiver) == lock:
                    return True
    return False


def same_object(owner: str, via: tuple) -> bool:  # type: ignore[type-arg]
    """Whether the functions on the way run on the object whose lock is held, or on none."""
    return all(not one.owner or one.owner == owner for one in via)


def inner_span(world: World, lock: str, function):  # type: ignore[no-untyped-def]
    spans = [a.span for a in function.acquires if world.tree.lock(a.lock) == lock]
    return spans[0] if spans else function.span


RULE = LintRule(
    code="CM206",
    name="relock-plain-lock",
    message="a plain lock is taken twice by one thread",
    severity=Severity.ERROR,
    group="preview",
    advice="use an RLock, or call a helper that expects the lock to be held",
    cwe=764,
    check_tree=check,
)
