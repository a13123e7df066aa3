"""An attribute is used under a lock in most places, and here without it.

## What it does
Counts for each attribute and global the places that use it under a lock and those that do not; a write counts
twice, and set-up does not count. If at least two thirds are guarded, the others are reported.

A write of what a loop around a condition's `wait()` tests is reported in methods such as `close()` too.

## Why is this bad?
Whoever wrote the guarded places knew that threads share the attribute. A lock protects only if all hold it:
the place without it sees half-made changes, or overwrites them.

## Example
```python
def put(self, n):
    with self._lock:
        self._total += n

def reset(self):
    self._total = 0  # lost, if put() is between reading and writing
```

Use instead:

```python
def reset(self):
    with self._lock:
        self._total = 0
```

## When it is fine
A single read of a flag or reference that is replaced as a whole. Such reads are not reported.

## Sources
SpotBugs IS2_INCONSISTENT_SYNC, with its weights; Infer RacerD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Access, Function
from threadproof.lint.knowledge.containers import CHANGES, WRITES
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import best_lock, sides
from threadproof.lint.tree.index import Use
from threadproof.lint.tree.sharing import Shared

# SpotBugs's weights: a write tells more about who needs a lock than a read.
WRITE_WEIGHT = 2.0
# Two guarded places, one of them a write, outweigh one bare write: 3 of 5.
LEAST_RATIO = 0.6
ONE_STEP = frozenset({"append", "appendleft", "add", "discard", "setdefault", "update", "extend"})
LEAST_RATIO_OF_CHANGES = 0.3
WAITED_FOR = 0.8  # of what a condition's wait() depends on
# Methods that give an object its values before anybody else uses it.
BEGINS = re.compile(
    r"_*(re)?(start|init|setup|set_up|open|connect|prepare|begin|configure|load)", re.IGNORECASE
)
CLEANUP = (
    "close",
    "shutdown",
    "stop",
    "terminate",
    "__del__",
    "__exit__",
    "__repr__",
    "__str__",
    "dispose",
    "join",
    "disconnect",
    "cleanup",
)


def check(world: World, part: Part) -> Iterator[Report]:
    for shared in world.sharing.shared_in(part.name):
        lock, _ = best_lock(shared)
        if not lock or "<locals>" in shared.variable.place or shared.single or lock.startswith("decorator:"):
            continue
        if world.tree.lock_kind(lock) in ("async", "process", "semaphore"):
            continue
        ratio = ratio_of(shared, lock)
        writes = [use for use in shared.guarded[lock] if use.access.kind in WRITES]
        waited_for = is_waited_for(world, shared, lock)
        if not (writes or waited_for) or ratio < LEAST_RATIO_OF_CHANGES:
            continue
        few = ratio < LEAST_RATIO or len(shared.guarded[lock]) < 2
        best: dict[str, tuple[float, Use]] = {}
        for use in shared.bare:
            confidence = confidence_of(world, shared, use, lock, ratio, waited_for)
            if few and not (waited_for and use.access.kind == "write"):
                confidence = changed_both_ways(world, shared, use, lock)
            surest = best.get(use.function.ref, (0.0, use))[0]
            if confidence > surest and world.sharing.knows(use.function, lock):
                best[use.function.ref] = (confidence, use)
        for confidence, use in best.values():
            yield report(world, shared, use, lock, confidence)


def weight(use: Use) -> float:
    return WRITE_WEIGHT if use.access.kind in WRITES else 1.0


def ratio_of(shared: Shared, lock: str) -> float:
    guarded = sum(map(weight, shared.guarded[lock]))
    bare = sum(weight(use) for use in shared.bare if use.function.name not in CLEANUP)
    return guarded / (guarded + bare) if guarded else 0.0


def confidence_of(world: World, shared: Shared, use: Use, lock: str, ratio: float, waited_for: bool) -> float:
    """How sure it is that the place needs the lock: a compound change most, a plain read not at all."""
    function, access = use
    if function.asynchronous or not world.sharing.applies(function, shared, access):
        return 0.0
    if access.kind == "write" and waited_for:
        return WAITED_FOR
    if function.name in CLEANUP or is_double_check(function, use) or makes_lock(world, function, lock):
        return 0.0
    if access.kind in CHANGES:
        if is_one_step(access) and not compound_under(shared, lock):
            return 0.4
        return 0.9 if ratio >= 0.75 else 0.7
    if access.kind == "augment":
        return 0.9
    if access.kind in ("write", "delete"):
        if BEGINS.match(function.name):
            return 0.0
        return 0.8 if updated_under(shared, lock) else 0.45
    if access.kind == "iterate":
        return 0.7
    return 0.1


def is_waited_for(world: World, shared: Shared, lock: str) -> bool:
    """Whether a loop around the wait() of a condition tests the variable, under the condition's lock.

    If it is changed without the lock, between the test and the wait, the wait does not end.
    """
    return any(
        call.method == "wait"
        and call.loop
        and call.loop == use.access.loop
        and not (call.args or call.keywords)
        and use.access.span.line == call.loop
        and world.tree.lock(call.receiver) == lock
        for use in shared.guarded[lock]
        for call in use.function.calls
    )


def changed_both_ways(world: World, shared: Shared, use: Use, lock: str) -> float:
    """A container changed under the lock in one place and without it in another."""
    if use.access.kind not in CHANGES and use.access.kind != "augment":
        return 0.0
    if (
        use.function.asynchronous
        or not world.sharing.applies(use.function, shared, use.access)
        or use.function.name in CLEANUP
    ):
        return 0.0
    if is_one_step(use.access) and not compound_under(shared, lock):
        return 0.4
    guarded = [
        one for one in shared.guarded[lock] if one.access.kind in CHANGES or one.access.kind == "augment"
    ]
    return 0.55 if guarded else 0.0


def is_one_step(access: Access) -> bool:
    """Whether a change is one atomic step, which harms only code that needs several."""
    return (
        access.kind in ONE_STEP
        or (access.kind == "pop" and access.value == "default")
        or access.kind == "setitem"
    )


def compound_under(shared: Shared, lock: str) -> bool:
    """Whether code under the lock has several steps that belong together: a loop, a test and its act."""
    for use in shared.guarded[lock]:
        if use.access.kind in ("iterate", "augment", "augmentitem", "len", "write"):
            return True
        if any(pair.act is use.access or pair.check is use.access for pair in use.function.pairs):
            return True
    return False


def updated_under(shared: Shared, lock: str) -> bool:
    """Whether code under the lock reads and writes: then a write in between is lost."""
    kinds = {use.access.kind for use in shared.guarded[lock]}
    return bool(kinds & {"augment", "augmentitem"}) or any(
        pair.act.place == use.access.place and pair.how in ("stale", "compare", "order", "none", "truth")
        for use in shared.guarded[lock]
        for pair in use.function.pairs
    )


def makes_lock(world: World, function: Function, lock: str) -> bool:
    """Whether a function gives the object a new lock: it sets everything up, or again."""
    return any(one.kind == "write" and world.tree.lock(one.place) == lock for one in function.accesses)


def is_double_check(function: Function, use: Use) -> bool:
    """Whether a read without the lock is tested again under it."""
    return any(
        pair.check.place == use.access.place and pair.check.span == use.access.span and pair.act.held
        for pair in function.pairs
    )


def report(world: World, shared: Shared, use: Use, lock: str, confidence: float) -> Report:
    count, total = len(shared.guarded[lock]), len(shared.uses)
    return Report(
        use.access.span,
        f"{shared.variable.shown} is "
        f"guarded by {world.tree.shown(lock)} in {count} of {total} places, not here",
        function=use.function.ref,
        subject=shared.variable.place,
        related=sides(world, shared, use.function, use.access),
        confidence=confidence,
        fix=f"hold {world.tree.shown(lock)} here too",
    )


RULE = LintRule(
    code="CM203",
    name="inconsistent-guard",
    message="an attribute is used without the lock that guards it elsewhere",
    severity=Severity.WARNING,
    group="preview",
    advice="hold the lock here too",
    cwe=820,
    per_variable=True,
    per_function=True,
    check_tree=check,
)
