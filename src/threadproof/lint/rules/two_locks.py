"""One variable is guarded by one lock here, and by another there.

## What it does
Reports a variable that is changed under a lock in some places, and used under another, with no lock in
common.

## Why is this bad?
Two locks do not exclude each other. It is as if there were none.

## Example
```python
def put(self, k, v):
    with self._write_lock:
        self._items[k] = v

def drop(self, k):
    with self._delete_lock:
        self._items.pop(k, None)
```

Use one lock for one variable.

## When it is fine
When both are held wherever it is changed, and either is enough to read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.containers import WRITES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.index import Use
from threadproof.lint.tree.sharing import Shared


def check(world: World, part: Part) -> Iterator[Report]:
    for shared in world.sharing.shared_in(part.name):
        found = apart(world, shared)
        if found is None:
            continue
        one, two = found
        locks = [sorted(world.calls.locks_at(use.function, use.access.held))[0] for use in found]
        names = [world.tree.shown(lock) for lock in locks]
        if names[0] == names[1]:  # of two classes
            names = [".".join(lock.split(".")[-2:]) for lock in locks]
        yield Report(
            two.access.span,
            f"{shared.variable.shown} is guarded by {names[1]} here, and by {names[0]} elsewhere",
            function=two.function.ref,
            subject=shared.variable.place,
            related=[
                Related(
                    f"changed here, holding {names[0]}",
                    one.access.span,
                    world.tree.module_of[one.function.ref].path,
                    one.function.ref,
                )
            ],
            confidence=0.8,
        )


def apart(world: World, shared: Shared) -> tuple[Use, Use] | None:
    """Two guarded uses, both of which change the variable, with no lock in common."""
    if len(shared.guarded) < 2 or shared.bare or shared.single:
        return None
    uses = [use for use in shared.uses if use.access.kind in WRITES]
    for number, one in enumerate(uses):
        for two in uses[number + 1 :]:
            if is_apart(world, one, two):
                return one, two
    return None


def is_apart(world: World, one: Use, two: Use) -> bool:
    if any(world.calls.entry_locks[use.function.ref] for use in (one, two)):
        return False
    first, second = (world.tree.locks(use.access.held) for use in (one, two))
    if not first or not second or first & second:
        return False  # code of an event loop has no lock, and is not bare
    locks = first | second
    return all(world.tree.lock_kind(lock) in ("plain", "reentrant", "condition") for lock in locks)


RULE = LintRule(
    code="CM204",
    name="two-locks",
    message="one variable is guarded by different locks",
    severity=Severity.WARNING,
    group="preview",
    advice="use one lock for one variable",
    cwe=366,
    check_tree=check,
)
