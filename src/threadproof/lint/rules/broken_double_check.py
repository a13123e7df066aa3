"""A double-checked initialisation that does not hold.

## What it does
Reports a test without a lock, and under the lock an assignment that is not tested again; and an object or a
flag that is stored, for the unlocked test to see, before it is ready.

## Why is this bad?
Two threads may both pass the first test. The second gets the lock after the first, and makes the object
again. And a thread whose first test finds the object takes no lock: it must be complete when it becomes
visible.

## Example
```python
if self._pool is None:
    with self._lock:
        self._pool = Pool()  # the second thread makes another
        self._pool.open()    # a third already uses the one that is not open
```

Use instead:

```python
if self._pool is None:
    with self._lock:
        if self._pool is None:
            pool = Pool()
            pool.open()
            self._pool = pool
```

## When it is fine
Correct double-checked locking is fine in CPython, with a GIL and without: an attribute is read and written in
one step.

## Sources
SpotBugs DC_DOUBLECHECK; CodeQL "Double-checked locking is not thread-safe" and "Race condition in
double-checked locking".
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Access, Call, Function, Hold, Pair
from threadproof.lint.knowledge.containers import CHANGES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World

# What must not be made twice: below it are results that come out alike.
WORTH = 0.7
EMPTY = ("none", "truth", "contains", "missing", "get")


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function):
            continue
        seen: set[str] = set()
        for pair in function.pairs:
            section = new_section(world, pair)
            if section is None or pair.act.place in seen or world.calls.entry_locks[function.ref]:
                continue
            if pair.act.kind == "setitem" and world.sharing.worth(pair.act) < WORTH:
                continue  # the same result once more
            if function.ref in world.calls.setup and not pair.act.common:
                continue  # an attribute of a new object
            if pair.act.kind in ("write", "setitem") and not_tested_again(function, pair, section):
                seen.add(pair.act.place)
                yield missing_test(world, function, pair)
        yield from early(world, function)


def new_section(world: World, pair: Pair) -> Hold | None:
    """The critical section that the act is in and the check is not, if the check is under no lock."""
    if world.tree.locks(pair.check.held) or pair.present or pair.how not in EMPTY:
        return None
    inside = [hold for hold in pair.act.held if world.tree.lock(hold.lock) and not hold.asynchronous]
    return inside[0] if inside else None


def not_tested_again(function: Function, pair: Pair, section: Hold) -> bool:
    """Whether nothing under the lock looks at the place before it is assigned."""
    place, act = pair.act.place, pair.act
    if act.kind == "write" and not (makes(act) and act.value != "const:True"):
        return False
    for access in function.accesses:
        if access.place == place and section in access.held and access is not act and access.span < act.span:
            return False
    calls = [c for c in function.calls if section in c.held and c.span.line < act.span.line]
    return not any(is_own(function, call) for call in calls)


def makes(access: Access) -> bool:
    return access.value.startswith("call:") or access.value in ("dict", "list", "set", "expr", "const:True")


def is_own(function: Function, call: Call) -> bool:
    """Whether a call may look at the place: one of the same object."""
    return bool(function.owner) and call.target.startswith(function.owner + ".")


def missing_test(world: World, function: Function, pair: Pair) -> Report:
    name = world.tree.variable(pair.act.place).shown
    return Report(
        pair.act.span,
        f"{name} is tested before the lock is taken, and not again under it",
        function=function.ref,
        subject=world.tree.canonical(pair.act.place),
        related=[Related("tested here, without the lock", pair.check.span, function=function.ref)],
        fix=f"test {name} again under the lock",
    )


# --- visible before it is ready ---


def early(world: World, function: Function) -> Iterator[Report]:
    """Objects assigned, under the lock, to a place that is tested without it, and changed afterwards."""
    tested = {
        pair.check.place: pair.check
        for pair in function.pairs
        if not world.tree.locks(pair.check.held) and pair.how in ("none", "truth") and not pair.present
    }
    for access in function.accesses:
        if access.kind != "write" or access.place not in tested or not world.tree.locks(access.held):
            continue
        if access.value == "none" or access.value == "const:False":
            continue
        later = unready(function, access)
        if later is None:
            continue
        name = world.tree.variable(access.place).shown
        yield Report(
            access.span,
            f"{name} is visible to the test without a lock before it is ready",
            function=function.ref,
            subject=world.tree.canonical(access.place),
            related=[
                Related("tested here, without the lock", tested[access.place].span, function=function.ref),
                Related("made ready only here", later, function=function.ref),
            ],
            fix="make it ready in a local variable, and assign that last",
        )


def unready(function: Function, write: Access):  # type: ignore[no-untyped-def]
    """Where, under the same lock, an object is still changed after it has been assigned."""
    section = write.held[-1]
    if write.value == "const:True":
        return flag_before_data(function, write)
    if write.value in ("dict", "list", "set", "call:builtins.dict"):
        for access in function.accesses:
            same = access.place == write.place and section in access.held
            if same and access.kind in CHANGES and access.span > write.span:
                return access.span
        return None
    if not write.value.startswith("call:"):
        return None
    for call in function.calls:
        if (
            call.receiver == write.place
            and call.discarded
            and section in call.held
            and call.span > write.span
        ):
            return call.span
    return None


def flag_before_data(function: Function, write: Access):  # type: ignore[no-untyped-def]
    """What a flag such as `_loaded` promises, if it is only made after the flag is set."""
    owner, section = write.place.rpartition(".")[0], write.held[-1]
    for access in function.accesses:
        same = access.place.rpartition(".")[0] == owner and section in access.held
        if (
            same
            and access.kind == "write"
            and access.span > write.span
            and access.place != write.place
            and makes(access)
        ):
            return access.span
    return None


RULE = LintRule(
    code="CM403",
    name="broken-double-check",
    message="double-checked initialisation that does not hold",
    severity=Severity.ERROR,
    group="default",
    advice="test again under the lock, and assign the finished object last",
    fix_safety="",
    cwe=609,
    check_tree=check,
)
