"""A context manager that is also a decorator keeps the state of one call on the object that all calls share.

## What it does
Reports a class that is a context manager and a decorator at once (a ContextDecorator, or with a `__call__`
that enters `self`), whose `__enter__` stores in `self` what `__exit__` takes from there. Also a decorator
whose wrapper stores something of one call in `self`, and reads it after that.

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
from threadproof.lint.facts.model import Access, Class, Function, Span
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.index import Use

DECORATORS = ("ContextDecorator", "AsyncContextDecorator")
PER_THREAD = ("threading.local", "ContextVar", "asgiref.local.Local", "Local")


def check(world: World, part: Part) -> Iterator[Report]:
    for found in world.tree.classes_of(part.name):
        if "not_shared" in found.notes or not ("__call__" in found.methods or has_context(world, found)):
            continue
        state = state_of_context(world, found) or state_of_wrapper(world, found)
        if state is None:
            continue
        write, read, last = state
        name = write.access.place.rpartition(".")[2]
        yield Report(
            write.access.span,
            f"self.{name} is the state of one call, "
            f"but all calls of a function decorated with {found.name} share it",
            function=write.function.ref,
            subject=world.tree.canonical(write.access.place),
            related=[
                Related(
                    f"taken from there by {last}, whichever call was last",
                    read.access.span,
                    function=read.function.ref,
                )
            ],
        )


def has_context(world: World, found: Class) -> bool:
    return all(world.tree.method(found.ref, name) is not None for name in ("__enter__", "__exit__"))


def state_of_context(world: World, found: Class) -> tuple[Use, Use, str] | None:
    """The state of a context manager that is a decorator too."""
    enter, leave = (world.tree.method(found.ref, name) for name in ("__enter__", "__exit__"))
    if enter is None or leave is None or not is_decorator(world, found):
        return None
    if enter.owner != found.ref and is_decorator(world, world.tree.classes[enter.owner]):
        return None  # reported for the class that defines it
    if world.tree.method(found.ref, "_recreate_cm"):
        return None
    return state_of(world, found, enter, leave)


def state_of_wrapper(world: World, found: Class) -> tuple[Use, Use, str] | None:
    """What the function that `__call__` returns keeps on the decorator from one of its steps to the next."""
    call = world.tree.functions.get(found.methods.get("__call__", ""))
    if call is None:
        return None
    for name in call.returned:
        wrapper = world.tree.functions.get(name)
        if wrapper is None or wrapper.parent != call.ref:
            continue
        uses = list(in_order(world, found, wrapper))
        for number, (write, _) in enumerate(uses):
            if not is_state(world, found, write.access) or is_set_once(write.function, write.access.place):
                continue
            for read, last in uses[number + 1 :]:
                if read.access.place == write.access.place and read.access.kind != "write":
                    return write, read, last
    return None


def in_order(world: World, found: Class, wrapper: Function) -> Iterator[tuple[Use, str]]:
    """The uses of a wrapper and of the methods of the decorator that it calls, in their order."""
    steps: list[tuple[Span, int, Use, str]] = [
        (access.span, 0, Use(wrapper, access), wrapper.name) for access in wrapper.accesses
    ]
    for call, callee in world.calls.callees[wrapper.ref]:
        if callee.owner in world.tree.mro(found.ref) and callee.name != "__init__":
            uses = [Use(callee, access) for access in callee.accesses]
            steps += [(call.span, number, use, callee.name) for number, use in enumerate(uses)]
    for _, _, use, name in sorted(steps, key=lambda step: step[:2]):
        yield use, name


def is_state(world: World, found: Class, access: Access) -> bool:
    """Whether an access gives an attribute of the object a value that belongs to one call."""
    if access.kind != "write" or access.place.rpartition(".")[0] not in world.tree.mro(found.ref):
        return False
    return not (access.value.startswith("const") or access.value == "none" or is_guarded(world, access))


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


def state_of(world: World, found: Class, enter: Function, leave: Function) -> tuple[Use, Use, str] | None:
    """What `__enter__` assigns to the object and `__exit__` reads from it."""
    entering, leaving = same_object(world, enter), same_object(world, leave)
    reads = {
        access.place: Use(leave, access)
        for one in leaving
        for access in one.accesses
        if access.kind != "write"
    }
    for function in entering:
        for access in function.accesses:
            of_call = access.place in reads and is_state(world, found, access)
            if of_call and not is_set_once(enter, access.place):
                return Use(enter, access), reads[access.place], "__exit__"
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
