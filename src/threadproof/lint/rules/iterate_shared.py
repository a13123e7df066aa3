"""A container is iterated while another thread may change its size.

## What it does
Reports loops and comprehensions over a dict, set or deque that threads share, without the lock, where other
code adds or removes. Also methods that give such a container, or its `keys()`, `values()` or `items()`, to a
caller, if it changes under a lock: the lock is free again when the caller goes over it.

## Why is this bad?
Python checks at each step: `RuntimeError: dictionary changed size during iteration`. It is rare in tests and
regular under load.

## Example
```python
for name, session in self._sessions.items():
    session.ping()
```

Use a copy, which is made in one step:

```python
for name, session in list(self._sessions.items()):
    session.ping()
```

or hold the lock of those who change it. Maps of threadproof can be iterated while others write.

## When it is fine
When the threads that change it have ended, or not begun.

## Sources
"Thread Safety Guarantees" in CPython's documentation, for dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.facts.model import RETURNED, Access, Function
from threadproof.lint.fixes import Edit, insert_text
from threadproof.lint.knowledge.containers import SIZE_CHANGES, in_one_step, kind_of
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.source import Source
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import best_lock, sides
from threadproof.lint.tree.index import Use, Variable
from threadproof.lint.tree.sharing import Shared

GUARDED = 2 / 3  # of the changes, for the lock to be the one that guards the container
# More bare loops than this are no oversight: the changes are known to come before.
FEW_LOOPS = 3
KINDS = frozenset({"dict", "set", "deque"})
# Hides the reports of containers whose kind is only known by their use, unless threads surely share them.
KIND_BY_USE = 0.9
HANDED_OUT = 0.6  # a caller who only looks something up is safe
LOOPS = frozenset({"iterate", "copy"})


def check(world: World, part: Part) -> Iterator[Report]:
    yield from check_loops(world, part)
    yield from check_handed_out(world, part)


def check_loops(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function) or world.calls.entry_locks[function.ref]:
            continue
        seen: set[str] = set()
        for access in function.accesses:
            if access.kind not in LOOPS or access.place in seen or world.tree.locks(access.held):
                continue
            variable = world.tree.variable(access.place)
            if variable.kind() not in KINDS or not is_loop(access, variable):
                continue
            shared = world.sharing.of(variable)
            changes = [
                use for use in shared.uses if use.access.kind in SIZE_CHANGES and use.function is not function
            ]
            confidence = confidence_of(world, function, access, shared, changes)
            if confidence < 1.0 and not any(kind_of(value) for value in variable.values):
                confidence *= KIND_BY_USE
            if confidence > 0:
                seen.add(access.place)
                yield Report(
                    access.span,
                    f"{variable.shown} may change while {loop_of(access)}",
                    function=function.ref,
                    subject=variable.place,
                    related=sides(world, shared, function, access),
                    confidence=confidence,
                )


def check_handed_out(world: World, part: Part) -> Iterator[Report]:
    """Containers that are changed under a lock, and that a method gives to callers who have no lock."""
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function) or world.calls.entry_locks[function.ref]:
            continue
        for access in function.accesses:
            if access.value != RETURNED or (access.kind == "read" and not world.tree.locks(access.held)):
                continue
            variable = world.tree.variable(access.place)
            if variable.kind() not in KINDS or variable.owner is None:
                continue
            shared = world.sharing.of(variable)
            lock = lock_of_changes(shared)
            if not lock or not world.sharing.knows(function, lock):
                continue
            what = "itself" if access.kind == "read" else f"as live {access.kind}()"
            yield Report(
                access.span,
                f"{variable.shown} is handed out {what}, and changes under {world.tree.shown(lock)} while "
                "the caller goes over it",
                function=function.ref,
                subject=variable.place,
                related=sides(world, shared, function, access),
                confidence=HANDED_OUT,
                fix="return a copy, made under the lock",
            )


def lock_of_changes(shared: Shared) -> str:
    """The lock that nearly all changes of a container are under, or ""."""
    lock, _ = best_lock(shared)
    changes = [use for use in shared.uses if use.access.kind in SIZE_CHANGES]
    guarded = [use for use in changes if use in shared.guarded.get(lock, ())]
    return lock if guarded and len(guarded) >= GUARDED * len(changes) else ""


def is_loop(access: Access, variable: Variable) -> bool:
    """Whether a container is gone over item by item: by a loop, or by a function that takes no snapshot."""
    return access.kind == "iterate" or not in_one_step(access.value, variable.values)


def loop_of(access: Access) -> str:
    function = access.value.partition(" ")[0].removeprefix("builtins.")
    return "it is iterated" if access.kind == "iterate" else f"{function}() goes over it"


def confidence_of(
    world: World, function: Function, access: Access, shared: Shared, changes: Sequence[Use]
) -> float:
    if any(call.method == "join" and call.loop == access.span.line for call in function.calls):
        return 0.0  # it waits for threads to end
    if not changes or "RuntimeError" in access.caught or not world.sharing.applies(function, shared, access):
        return 0.0
    instance = shared.variable.owner is not None
    if any(world.sharing.may_meet(function, use.function, instance) for use in changes):
        return 1.0
    if all(world.threads.in_one_thread(function, use.function, instance) for use in changes):
        return 0.0
    every = [use for use in shared.uses if use.access.kind in SIZE_CHANGES]
    guarded = [use for use in every if world.calls.locks_at(use.function, use.access.held)]
    loops = [use for use in shared.bare if use.access.kind == "iterate"]
    if len(guarded) >= GUARDED * len(every) and guarded and len(loops) <= FEW_LOOPS:
        return 0.9
    return shared.score(function)


def fix(source: Source, report: Report) -> Sequence[Edit]:
    """`list(...)` around what is iterated."""
    span = report.span
    return [
        insert_text(source, span.line, span.column, "list("),
        insert_text(source, span.end_line, span.end_column, ")"),
    ]


RULE = LintRule(
    code="CM105",
    name="iterate-shared",
    message="a shared container is iterated while others change it",
    severity=Severity.WARNING,
    group="preview",
    advice="iterate a copy, as list(...), or hold the lock of those who change it",
    fix_safety="unsafe",
    cwe=662,
    per_variable=True,
    check_tree=check,
    fix=fix,
)
