"""A lock that a function or attribute is declared to need is not held.

## What it does
Reports calls of a function that `@requires_lock("_lock")`, or a comment
`# threadproof: requires_lock(_lock)`, says needs a lock, where the caller does not hold it; and uses of an
attribute declared by `Annotated[..., GuardedBy("_lock")]` without that lock. Constructors may, as nobody else
has the object yet.

## Why is this bad?
The function relies on its caller. Without the lock it is a race like any other.

## Example
```python
@requires_lock("_lock")
def _add(self, amount): ...

def pay(self, amount):
    self._add(amount)  # without the lock
```

Use instead:

```python
def pay(self, amount):
    with self._lock:
        self._add(amount)
```

## When it is fine
When no other thread has the object. Say so with `@confined`, or a `noqa` with the reason.

## Sources
clang's REQUIRES and Error Prone's @GuardedBy on methods.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.calls import ANY_LOCK


def check(world: World, part: Part) -> Iterator[Report]:
    yield from unguarded(world, part)
    for function in part.functions:
        if world.sharing.in_setup(function) or function.ref in world.calls.setup:
            continue
        for call, callee in world.calls.callees.get(function.ref, ()):
            held = world.calls.locks_at(function, call.held)
            for lock in required(world, callee) if ANY_LOCK not in held else ():
                if lock not in held:
                    name = world.tree.shown(lock)
                    yield Report(
                        call.span,
                        f"{callee.name}() requires {name}, which is not held here",
                        function=function.ref,
                        subject=lock,
                        related=[
                            Related(
                                "the function that requires it",
                                callee.span,
                                world.tree.module_of[callee.ref].path,
                                callee.ref,
                            )
                        ],
                        fix=f"hold {name} around the call",
                    )


def unguarded(world: World, part: Part) -> Iterator[Report]:
    """The uses of attributes without the lock that they are declared to have."""
    for variable in world.tree.variables_of(part.name):
        shared = world.sharing.of(variable) if variable.owner and variable.owner.guards else None
        if shared is None or not shared.declared_lock or shared.single:
            continue
        name = world.tree.shown(shared.declared_lock)
        guarded = {id(use.access) for use in shared.guarded.get(shared.declared_lock, ())}
        for function, access in shared.uses:
            held = world.calls.locks_at(function, access.held)
            if (
                id(access) not in guarded
                and ANY_LOCK not in held
                and not world.sharing.is_async_only(function)
            ):
                yield Report(
                    access.span,
                    f"{variable.shown} is declared to be guarded by {name}, which is not held here",
                    function=function.ref,
                    subject=variable.place,
                    fix=f"hold {name} here",
                )


def required(world: World, function: Function) -> Iterator[str]:
    """The locks that a function is declared to require by name."""
    for note in function.notes:
        kind, _, lock = note.partition(":")
        if kind == "requires" and lock and function.owner:
            yield world.tree.lock(f"{function.owner}.{lock}") or f"{function.owner}.{lock}"


RULE = LintRule(
    code="CM209",
    name="required-lock",
    message="a lock that is declared to be needed is not held",
    severity=Severity.ERROR,
    group="default",
    advice="hold the lock here",
    cwe=667,
    check_tree=check,
)
