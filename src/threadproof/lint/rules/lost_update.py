"""A value is read, changed and written back, and another thread's change in between is lost.

## What it does
Reports `self.n += 1`, `d[k] += 1`, `d[k] = d.get(k, 0) + 1` and the same in two statements, on what threads
share, without a lock. A number of a class, counted up by the name of the class, is shared by all threads that
make objects of it. Also `taken = self.items` followed by `self.items = []`, a copy or loop followed by
`clear()`, and `if n > self.most: self.most = n`.

## Why is this bad?
`n += 1` reads, adds and writes. Two threads that read the same number both write the same sum, and one of
the two is not counted. With a GIL it is rare, without one it is common.

## Example
```python
self.requests += 1
```

Use instead:

```python
with self._lock:
    self.requests += 1
```

or `threadproof.sync.AtomicInt`, or `m.add(key)` of a map of threadproof.

## When it is fine
When only one thread writes, or a number that is roughly right will do.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.assignments import EMPTY
from threadproof.lint.facts.conditions import ORDER
from threadproof.lint.facts.model import Access, Function, Pair
from threadproof.lint.knowledge.containers import ADDS, WRITES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import sides
from threadproof.lint.tree.index import Use, Variable
from threadproof.lint.tree.sharing import Shared

ADDED = ADDS | {"setitem", "augment", "augmentitem"}


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function) or world.calls.entry_locks[function.ref]:
            continue
        seen: set[str] = set()
        for access, read, how in updates(world, function):
            if access.place in seen:
                continue
            shared = world.sharing.of(world.tree.variable(access.place))
            confidence = confidence_of(world, function, access, shared)
            if confidence > 0:
                seen.add(access.place)
                yield report(world, function, access, read, shared, confidence, how)


def updates(world: World, function: Function) -> Iterator[tuple[Access, Access | None, str]]:
    """The updates of a function that no lock covers, with the read if that is a statement of its own."""
    for access in function.accesses:
        if access.kind in ("augment", "augmentitem") and not world.tree.locks(access.held):
            yield access, None, "update"
    for pair in (*function.pairs, *drains(function)):
        if not is_update(pair) or (pair.how == "swap" and not is_added_to(world, pair)):
            continue
        if not world.sharing.protected(function, pair.check.held, pair.act.held):
            yield pair.act, pair.check, pair.how


def is_update(pair: Pair) -> bool:
    """Whether a value is written back: computed from what was read, emptied, or the largest so far."""
    if pair.how == ORDER:
        return pair.act.kind == "write" and pair.act.value.startswith("ref:")
    return pair.how in ("stale", "swap")


def drains(function: Function) -> Iterator[Pair]:
    """Copies of a container, or loops over it, that are followed by its emptying."""
    copies: dict[str, Access] = {}
    joins = {call.loop for call in function.calls if call.method == "join"}
    for access in function.accesses:
        if access.kind == "iterate" and access.span.line in joins:
            continue  # it waits for threads to end
        if access.kind in ("copy", "iterate") or (access.kind == "getitem" and access.key == ":"):
            copies[access.place] = access
        elif empties(access) and access.place in copies:
            yield Pair(copies.pop(access.place), access, "swap", None)


def empties(access: Access) -> bool:
    if access.kind == "delitem":
        return access.key == ":"
    return access.kind == "clear" or (access.kind == "write" and access.value in EMPTY)


def is_added_to(world: World, pair: Pair) -> bool:
    """Whether anything is added to a value that is taken and emptied: if not, it is only replaced."""
    uses = world.tree.variable(pair.act.place).uses
    return any(use.access.kind in ADDED for use in uses)


def confidence_of(world: World, function: Function, access: Access, shared: Shared) -> float:
    if not world.sharing.applies(function, shared, access) or is_of_item(shared.variable):
        return 0.0
    writers = [use for use in shared.uses if use.access.kind in WRITES and use.access is not access]
    if world.sharing.runs_twice(function, shared):
        return shared.score(function)
    if function.ref in shared.crossing and any(meets(world, function, use, shared) for use in writers):
        return 0.8
    return 0.0


def is_of_item(variable: Variable) -> bool:
    """Whether it is an attribute of an object in a container, or of no known class: each may be another."""
    return "[]." in variable.place or (variable.owner is None and not is_global(variable))


def is_global(variable: Variable) -> bool:
    home = variable.module.name if variable.module else ""
    return "<locals>" in variable.place or variable.place.rpartition(".")[0] == home


def meets(world: World, function: Function, use: Use, shared: Shared) -> bool:
    """Whether another function that writes may run at the same time."""
    instance = shared.variable.owner is not None
    return use.function is not function and world.sharing.may_meet(function, use.function, instance)


def report(
    world: World,
    function: Function,
    access: Access,
    read: Access | None,
    shared: Shared,
    confidence: float,
    how: str,
) -> Report:
    name = shared.variable.shown + (f"[{access.key}]" if access.key else "")
    related = [Related("read here", read.span, function=function.ref)] if read else []
    message = f"an update of {name} may be lost: it is read and written in two steps"
    if how == ORDER:
        message = f"{name} may become smaller or older: another thread can set it between the test and this"
    if how == "swap":
        message = f"what is added to {name} may be lost: it is taken and emptied in two steps"
    return Report(
        access.span,
        message,
        function=function.ref,
        subject=shared.variable.place,
        related=[*related, *sides(world, shared, function, access)],
        confidence=confidence,
    )


RULE = LintRule(
    code="CM103",
    name="lost-update",
    message="an update of a shared value can be lost",
    severity=Severity.WARNING,
    group="preview",
    advice="hold a lock over the update, or use threadproof.sync.AtomicInt",
    cwe=366,
    per_variable=True,
    per_function=True,
    check_tree=check,
)
