"""A thread is started before the object it works on is complete.

## What it does
Reports a constructor that starts a thread on its own object and assigns attributes afterwards which that
thread reads.

## Why is this bad?
The thread may run before the constructor goes on. It then finds an object without the attribute, and dies of
AttributeError; mostly in production, where the machine is busy.

## Example
```python
class Poller:
    def __init__(self, interval):
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        self.interval = interval  # _poll() may have read it already
```

Start the thread last, or in a method of its own:

```python
class Poller:
    def __init__(self, interval):
        self.interval = interval
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
```

## When it is fine
When the thread waits for something that the constructor does at its end.

## Sources
SpotBugs SC_START_IN_CTOR; CodeQL "Start of thread in constructor".
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Access, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.threads import Entry

STARTS = frozenset({"thread", "timer", "pool"})


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.name != "__init__" or not function.owner:
            continue
        for line, entry in started_in(world, function):
            found = first_late(world, function, entry, line)
            if found is None:
                continue
            late, read, reader = found
            name = late.place.rpartition(".")[2]
            yield Report(
                late.span,
                f"self.{name} is set after the thread that reads it has been started",
                function=function.ref,
                subject=world.tree.canonical(late.place),
                related=[
                    Related("the thread is started here", span_at(function, line), function=function.ref),
                    Related("and reads it here", read.span, function=reader.ref),
                ],
            )
            break


def started_in(world: World, constructor: Function) -> Iterator[tuple[int, Entry]]:
    """The threads on the same object that a constructor starts, by itself or by a method it calls."""
    for entry in world.threads.entries:
        if (
            entry.kind not in STARTS
            or entry.starter is None
            or entry.function.owner not in owners(world, constructor)
        ):
            continue
        if entry.starter is constructor:
            if entry.kind == "pool" or is_started(constructor, entry):
                yield entry.line, entry
            continue
        for call, callee in world.calls.callees[constructor.ref]:
            is_helper = callee is entry.starter and callee.owner and not callee.generator
            if is_helper and is_started(callee, entry) and not world.threads.is_conditional(callee, entry):
                yield call.span.line, entry
    for call in constructor.calls:
        if call.method == "start" and call.target in (
            f"{constructor.owner}.start",
            f"{constructor.owner}.<super>.start",
        ):
            run = world.tree.method(constructor.owner, "run")
            if run is not None and world.threads.is_thread_class(constructor.owner):
                yield call.span.line, Entry(run, "thread", many=False)


def owners(world: World, constructor: Function) -> list[str]:
    return world.tree.mro(constructor.owner)


def is_started(function: Function, entry: Entry) -> bool:
    """Whether a function starts the thread that it makes."""
    if entry.kind == "pool" or (entry.call and entry.call.method.endswith("start_new_thread")):
        return True
    starts = [call for call in function.calls if call.method == "start"]
    return any(
        call.receiver in (entry.place, f"{entry.call.target}()" if entry.call else "") for call in starts
    )


def first_late(
    world: World, constructor: Function, entry: Entry, line: int
) -> tuple[Access, Access, Function] | None:
    """The first assignment after the start of an attribute that the thread reads, and where it reads it."""
    before = {a.place for a in constructor.accesses if a.kind == "write" and a.span.line <= line}
    in_class = class_level(world, constructor.owner)
    reads: dict[str, tuple[Access, Function]] = {}
    for ref in sorted(world.threads.reach([entry.function.ref])):
        reader = world.tree.functions[ref]
        for access in reader.accesses:
            if access.kind != "write" and reader.name != "__init__":
                reads.setdefault(world.tree.canonical(access.place), (access, reader))
    for access in constructor.accesses:
        if access.kind != "write" or access.span.line <= line or access.place in before | in_class:
            continue
        found = reads.get(world.tree.canonical(access.place))
        if found is not None and access.place.rpartition(".")[0] == constructor.owner:
            return access, *found
    return None


def class_level(world: World, class_ref: str) -> set[str]:
    """Attributes that the class itself gives a value."""
    body = world.tree.functions.get(f"{class_ref}.<class>")
    return {access.place for access in body.accesses if access.kind == "write"} if body else set()


def span_at(function: Function, line: int):  # type: ignore[no-untyped-def]
    spans = [call.span for call in function.calls if call.span.line == line]
    return spans[0] if spans else function.span


RULE = LintRule(
    code="CM408",
    name="start-before-init",
    message="thread started in a constructor before the object is complete",
    severity=Severity.WARNING,
    group="default",
    advice="start the thread at the end of the constructor",
    fix_safety="",
    cwe=665,
    check_tree=check,
)
