"""A thread waits for its own end.

## What it does
Reports `join()` on a thread in code that this very thread can reach, without a test for that.

## Why is this bad?
A thread that joins itself gets `RuntimeError: cannot join current thread`. It happens when a job, a callback
or the thread's own error handling calls the `stop()` or `close()` that everybody else calls too; what
`stop()` should do after the join is then not done. A finalizer (`__del__`) runs in whatever thread drops the
last reference or collects garbage, so that one which leads to the join does it too.

## Example
```python
class Listener:
    def _run(self):
        while True:
            if not self._receive():
                self.stop()  # raises RuntimeError

    def stop(self):
        self._running = False
        self._thread.join()
```

Use instead:

```python
    def stop(self):
        self._running = False
        if self._thread is not threading.current_thread():
            self._thread.join()
```

## When it is fine
When the path from the thread to the join is never taken in that thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.expressions import FALSE
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.threads import Entry

TESTS = frozenset(
    {"current_thread", "currentThread", "get_ident", "get_native_id", "is_current_thread", "in_thread"}
)


# The kinds of threads that end before a call of the method returns.
ENDED_BY = {"join": frozenset({"thread", "timer"}), "shutdown": frozenset({"pool"})}


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        joined = [call for call in function.calls if call.method == "join" or is_shutdown(call)]
        if not joined or is_careful(world, function):
            continue
        for call in joined:
            if {"RuntimeError", "*"} & set(call.caught):
                continue
            for entry in world.threads.reached.get(function.ref, ()):
                if entry.kind in ENDED_BY[call.method] and joins(world, function, call, entry):
                    yield report(world, function, call, entry)
                    break
                if entry.kind == "finalizer" and joins_from_finalizer(world, function, call, entry):
                    yield report(world, function, call, entry)
                    break


def joins(world: World, function: Function, call: Call, entry: Entry) -> bool:
    """Whether the call waits for the thread that runs the entry."""
    receiver = world.tree.canonical(call.receiver)
    if call.method == "shutdown":
        return entry.call is not None and receiver == world.tree.canonical(entry.call.receiver)
    if entry.starter is None:
        classes = world.tree.mro(entry.function.owner)
        return bool(function.owner) and (receiver in classes or world.tree.type_of(receiver) in classes)
    return any(receiver == world.tree.canonical(place) for place in places_of(entry))


def is_shutdown(call: Call) -> bool:
    """Whether a call waits for the threads of a pool to end."""
    given = (*call.args, *(value for name, value in call.keywords if name == "wait"))
    return call.method == "shutdown" and FALSE not in given and bool(call.receiver)


def places_of(entry: Entry) -> list[str]:
    """The variables that hold a thread: what it is assigned to, and the list it is put into."""
    assert entry.starter is not None
    assert entry.call is not None
    names = {entry.place, f"{entry.call.target}()"}
    kept = [
        f"{call.receiver}[]"
        for call in entry.starter.calls
        if call.method in ("append", "add") and names & set(call.args)
    ]
    return [place for place in (entry.place, *kept) if place]


def joins_from_finalizer(world: World, function: Function, call: Call, entry: Entry) -> bool:
    """Whether a finalizer of another object leads to a Thread's method that joins the thread.

    A finalizer runs in the thread that drops the last reference, or collects garbage. That of the thread's
    own object does not run before the thread has ended.
    """
    if not function.owner or not world.threads.is_thread_class(function.owner):
        return False
    owners = {function.owner, *world.tree.mro(function.owner), *world.tree.descendants(function.owner)}
    return world.tree.canonical(call.receiver) in owners and entry.function.owner not in owners


def is_careful(world: World, function: Function) -> bool:
    """Whether a function, or one on the way to it, tests which thread it is in."""
    callers = [edge.caller for edge in world.calls.callers.get(function.ref, ())]
    return any(call.method in TESTS for one in (function, *callers) for call in one.calls)


def report(world: World, function: Function, call: Call, entry: Entry) -> Report:
    calls = [
        edge
        for edge in world.calls.callers.get(function.ref, ())
        if entry in world.threads.reached[edge.caller.ref]
    ]
    begins, runs = "this thread's code starts here", "runs"
    if entry.kind == "finalizer":
        begins, runs = "a finalizer runs in any thread, and starts here", "may run"
    related = [Related(begins, entry.function.span, function=entry.function.ref)]
    related += [Related("and comes here", edge.call.span, function=edge.caller.ref) for edge in calls[:1]]
    return Report(
        call.span,
        f"{entry.function.name}() {runs} in the thread that {function.name}() joins, and can call it",
        function=function.ref,
        subject=world.tree.canonical(call.receiver),
        related=related,
    )


RULE = LintRule(
    code="CM212",
    name="self-join",
    message="a thread can join itself",
    severity=Severity.WARNING,
    group="default",
    advice="join only if `thread is not threading.current_thread()`",
    fix_safety="",
    cwe=833,
    check_tree=check,
)
