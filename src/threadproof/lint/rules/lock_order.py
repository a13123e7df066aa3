"""Two locks are taken in one order here, and in the other there.

## What it does
Reports two locks of which each is taken somewhere while the other is held, directly or through calls.

## Why is this bad?
A thread that has the first and waits for the second, and one that has the second and waits for the first,
wait for ever.

## Example
```python
def transfer(self):
    with self._accounts_lock:
        with self._log_lock: ...

def rotate(self):
    with self._log_lock:
        with self._accounts_lock: ...
```

Take them in one order everywhere; write the order down.

## When it is fine
When a third lock is held around both, or the two orders belong to different objects.

## Sources
Infer's DEADLOCK; thread sanitizers' lock-order-inversion.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.deadlocks import Order

KINDS = frozenset({"plain", "reentrant", "condition", "unknown"})


def check(world: World, part: Part) -> Iterator[Report]:
    orders: dict[tuple[str, str], Order] = {}
    for order in world.deadlocks.orders():
        orders.setdefault((order.first, order.second), order)
    inside = {function.ref for function in part.functions}
    for (first, second), order in orders.items():
        back = orders.get((second, first))
        if back is None or first >= second or not is_pair(world, first, second):
            continue
        here, there = sorted((order, back), key=lambda one: (one.taking.function.ref, one.taking.span))
        if here.taking.function.ref not in inside:
            here, there = there, here
        later = max(order, back, key=lambda one: one.taking.span)
        if order.taking.function.ref in inside and back.taking.function.ref in inside:
            here, there = later, order if later is back else back
        if here.taking.function.ref in inside:
            yield report(world, here, there)


def is_pair(world: World, first: str, second: str) -> bool:
    """Whether both are single locks: not one of many in a container."""
    return all(
        "[]" not in lock and "()" not in lock and world.tree.lock_kind(lock) in KINDS
        for lock in (first, second)
    )


def report(world: World, here: Order, there: Order) -> Report:
    first, second = (world.tree.shown(lock) for lock in (here.first, here.second))
    return Report(
        here.taking.span,
        f"{second} is taken while {first} is held, and elsewhere the other way round",
        function=here.taking.function.ref,
        subject=f"{here.first} {here.second}",
        related=[
            Related(
                f"{first} is taken here, while {second} is held",
                there.taking.span,
                world.tree.module_of[there.taking.function.ref].path,
                there.taking.function.ref,
            )
        ],
    )


RULE = LintRule(
    code="CM205",
    name="lock-order",
    message="two locks are taken in both orders",
    severity=Severity.ERROR,
    group="preview",
    advice="take them in one order everywhere",
    cwe=833,
    check_tree=check,
)
