"""A finalizer or signal handler takes a plain lock.

## What it does
Reports `__del__`, callbacks of weak references, of `gc.callbacks` and of `signal.signal` that take a lock
which other code holds too, and which is not re-entrant. Also those that use a `queue.Queue`.

## Why is this bad?
Such code runs between any two instructions of a thread: also in the middle of a section that holds this very
lock. The thread then waits for itself, for ever; rarely, and only where objects die or signals come.

## Example
```python
def __del__(self):
    with self._pool.lock:  # the thread that made this object die may hold it
        self._pool.free.append(self.slot)
```

Use a `SimpleQueue`, whose `put` may be called so, or a `deque`, and let a normal function empty it.

## When it is fine
When the lock is never held where an object can die, or a signal come.

## Sources
queue.SimpleQueue in CPython's documentation, on re-entrancy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.deadlocks import Taking
from threadproof.lint.tree.threads import Entry

KINDS = frozenset({"plain", "unknown"})
POOLS = re.compile(r"(Pool|Manager|Registry|Cache|Factory|Allocator|Server|Hub)$")
# Methods that take the plain lock of a queue or an event, which a thread may hold when it is interrupted.
LOCKED_INSIDE = frozenset(
    f"queue.{kind}.{method}"
    for kind in ("Queue", "LifoQueue", "PriorityQueue")
    for method in ("put", "put_nowait", "get", "get_nowait", "qsize", "empty", "full", "task_done")
)
WORDS = {"finalizer": "a finalizer", "signal": "a signal handler"}


def check(world: World, part: Part) -> Iterator[Report]:
    inside = {function.ref for function in part.functions}
    seen: set[tuple[str, str]] = set()
    for entry in world.threads.entries:
        if entry.kind not in WORDS or entry.function.ref not in inside:
            continue
        queue = queue_used(world, entry)
        if queue is not None:
            yield report_queue(world, entry, *queue)
        for taking in world.deadlocks.taken_by(entry.function):
            key = (entry.function.ref, taking.lock)
            if (
                key in seen
                or world.tree.lock_kind(taking.lock) not in KINDS
                or not held_elsewhere(world, entry, taking)
            ):
                continue
            seen.add(key)
            yield report(world, entry, taking)


def queue_used(world: World, entry: Entry) -> tuple[Function, Call] | None:
    """A call of a queue that a finalizer or handler comes to, in itself or in a function that it calls."""
    start = entry.function
    for function in (start, *(callee for _, callee in world.calls.callees.get(start.ref, ()))):
        for call in function.calls:
            if world.tree.full_target(call) in LOCKED_INSIDE:
                return function, call
    return None


def report_queue(world: World, entry: Entry, function: Function, call: Call) -> Report:
    return Report(
        call.span,
        f"{WORDS[entry.kind]}, {entry.function.name}, takes the lock of {world.tree.shown(call.receiver)}, "
        "a queue, which the interrupted thread may hold",
        function=function.ref,
        subject=world.tree.canonical(call.receiver),
        related=[Related("begins here", entry.function.span, function=entry.function.ref)],
        fix="use a SimpleQueue, whose put() may be called so",
        confidence=0.7,
    )


def held_elsewhere(world: World, entry: Entry, taking: Taking) -> bool:
    """Whether other code holds the lock while objects are made, so that a collection may run."""
    if world.tree.lock_kind(taking.lock) == "unknown" and "()" in taking.lock:
        return False
    owner = taking.lock.rpartition(".")[0]
    if entry.kind == "finalizer" and entry.starter is not None:
        return is_held_by_others(world, entry, taking)  # a weak reference's callback: its object lives on
    family = {
        entry.function.owner,
        *world.tree.mro(entry.function.owner),
        *world.tree.descendants(entry.function.owner),
    }
    if entry.kind == "finalizer" and owner in family:
        return False  # the lock of the dying object itself: nobody holds it any more
    if owner in world.tree.classes and not is_class_level(world, taking.lock) and not is_pool(owner):
        return False  # a lock of some object, most likely one that dies with this
    return is_held_by_others(world, entry, taking)


def is_pool(owner: str) -> bool:
    """Whether a class is of objects that outlive those they give out, and that these go back to."""
    return bool(POOLS.search(owner.rpartition(".")[2]))


def is_held_by_others(world: World, entry: Entry, taking: Taking) -> bool:
    """Whether code that does not come from the finalizer takes the lock too."""
    reached = world.threads.reach([entry.function.ref])
    return any(
        world.tree.lock(acquire.lock) == taking.lock and function.ref not in reached
        for function in world.tree.functions.values()
        for acquire in function.acquires
    )


def is_class_level(world: World, lock: str) -> bool:
    uses = world.tree.variable(lock).uses
    return any(use.function.name == "<class>" and use.access.kind == "write" for use in uses)


def report(world: World, entry: Entry, taking: Taking) -> Report:
    related = [
        Related("through here", one.span, world.tree.module_of[one.ref].path, one.ref) for one in taking.via
    ]
    return Report(
        taking.span,
        f"{WORDS[entry.kind]}, {entry.function.name}, takes {world.tree.shown(taking.lock)}, "
        "which the interrupted thread may hold",
        function=entry.function.ref,
        subject=taking.lock,
        related=related,
        confidence=0.8 if world.tree.lock_kind(taking.lock) == "plain" else 0.5,
    )


RULE = LintRule(
    code="CM214",
    name="finalizer-takes-lock",
    message="a finalizer or signal handler takes a lock",
    severity=Severity.ERROR,
    group="preview",
    advice="put it into a SimpleQueue or deque, and let other code do it; or use an RLock",
    cwe=833,
    check_tree=check,
)
