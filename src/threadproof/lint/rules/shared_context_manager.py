"""A context manager that is also a decorator keeps the state of one call on the object that all calls share.

## What it does
Reports a class that is a context manager and a decorator at once (a ContextDecorator, or with a `__call__`
that enters `self`), whose `__enter__` stores in `self` what `__exit__` takes from there.

## Why is this bad?
`@timer()` makes one object when the function is defined. Every call of the function enters that object, in
any thread, and recursive calls too: the second overwrites what the first stored, and both restore the wrong
value.

## Example
```python
class override(ContextDecorator):
    def __enter__(self):
        self.old = get_language()  # of the last thread that came here

    def __exit__(self, *error):
        set_language(self.old)
```

Make an object for each call:

```python
    def _recreate_cm(self):
        return type(self)(self.language)
```

or in a `__call__` of your own, `with type(self)(...):` instead of `with self:`.

## When it is fine
When the decorated functions never run at once, nor call themselves.

## Sources
contextlib.ContextDecorator in CPython's documentation; fixed so in several web frameworks and clients.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Access, Class, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World

DECORATORS = ("ContextDecorator", "AsyncContextDecorator")
PER_THREAD = ("threading.local", "ContextVar", "asgiref.local.Local", "Local")


def check(world: World, part: Part) -> Iterator[Report]:
    for found in world.tree.classes_of(part.name):
        enter, leave = (world.tree.method(found.ref, name) for name in ("__enter__", "__exit__"))
        if enter is None or leave is None or not is_decorator(world, found):
            continue
        if enter.owner != found.ref and is_decorator(world, world.tree.classes[enter.owner]):
            continue  # reported for the class that defines it
        if world.tree.method(found.ref, "_recreate_cm") or "not_shared" in found.notes:
            continue
        state = state_of(world, found, enter, leave)
        if state is None:
            continue
        write, read = state
        name = write.place.rpartition(".")[2]
        yield Report(
            write.span,
            f"self.{name} is the state of one call, "
            f"but all calls of a function decorated with {found.name} share it",
            function=enter.ref,
            subject=world.tree.canonical(write.place),
            related=[
                Related(
                    "taken from there by __exit__, whichever call was last", read.span, function=leave.ref
                )
            ],
        )


def is_decorator(world: World, found: Class) -> bool:
    names = [name.rpartition(".")[2] for name in world.tree.mro(found.ref)[1:]]
    if any(name in DECORATORS for name in names):
        return True
    call = world.tree.method(found.ref, "__call__")
    if call is None:
        return False
    inside = [
        f
        for f in world.tree.functions.values()
        if f.ref == call.ref or f.ref.startswith(call.ref + ".<locals>")
    ]
    return any(
        acquire.lock == found.ref or acquire.lock in world.tree.mro(found.ref)
        for function in inside
        for acquire in function.acquires
    ) or any(call.target == f"{found.ref}.__enter__" for function in inside for call in function.calls)


def state_of(world: World, found: Class, enter: Function, leave: Function) -> tuple[Access, Access] | None:
    """What `__enter__` assigns to the object and `__exit__` reads from it."""
    entering, leaving = same_object(world, enter), same_object(world, leave)
    reads = {access.place: access for one in leaving for access in one.accesses if access.kind != "write"}
    for function in entering:
        for access in function.accesses:
            owner, _, _ = access.place.rpartition(".")
            if access.kind != "write" or owner not in world.tree.mro(found.ref) or access.place not in reads:
                continue
            if access.value.startswith("const") or access.value == "none" or is_guarded(world, access):
                continue
            if is_set_once(enter, access.place):
                continue
            return access, reads[access.place]
    return None


def same_object(world: World, function: Function) -> list[Function]:
    """A method, and those of the same object that it calls."""
    return [function] + [
        callee
        for call, callee in world.calls.callees[function.ref]
        if callee.owner == function.owner and callee is not function
    ]


def is_guarded(world: World, access: Access) -> bool:
    return bool(world.tree.locks(access.held))


def is_set_once(enter: Function, place: str) -> bool:
    """`if self._cached is None: self._cached = ...` is no state of a call."""
    return any(pair.act.place == place and pair.how in ("none", "truth", "missing") for pair in enter.pairs)


RULE = LintRule(
    code="CM409",
    name="shared-context-manager",
    message="decorator and context manager in one keeps the state of a call on self",
    severity=Severity.ERROR,
    group="default",
    advice="override _recreate_cm(), or enter a new object in __call__",
    fix_safety="",
    cwe=362,
    check_tree=check,
)
