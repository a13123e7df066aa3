"""A thread waits for its own end.

## What it does
Reports `join()` on a thread in code that this very thread can reach, without a test for that.

## Why is this bad?
A thread that joins itself gets `RuntimeError: cannot join current thread`. It happens when a job, a callback
or the thread's own error handling calls the `stop()` or `close()` that everybody else calls too; what
`stop()` should do after the join is then not done.

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

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.threads import Entry

CALLBACK = re.compile(
    r"(^|[._])(cb|callback|handler|listener|hook|func|function|fn|target|job|task|on_\w+|apply_entry)$"
)
TESTS = frozenset(
    {"current_thread", "currentThread", "get_ident", "get_native_id", "is_current_thread", "in_thread"}
)


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        joined = [call for call in function.calls if call.method == "join"]
        if not joined or is_careful(world, function):
            continue
        for call in joined:
            if {"RuntimeError", "*"} & set(call.caught):
                continue
            if is_own_join(world, function, call):
                yield own_report(world, function, call)
                continue
            for entry in world.threads.reached.get(function.ref, ()):
                if entry.kind in ("thread", "timer") and joins(world, function, call, entry):
                    yield report(world, function, call, entry)
                    break


def is_own_join(world: World, function: Function, call: Call) -> bool:
    """`self.join()` in a Thread subclass whose own code may call it in that thread."""
    if (
        not function.owner
        or call.receiver != function.owner
        or not world.threads.is_thread_class(function.owner)
    ):
        return False
    if function.name in ("join", "run", "start") or function.name.startswith("__"):
        return False
    run = world.tree.method(function.owner, "run")
    return run is not None and calls_out(world, run)


def calls_out(world: World, run: Function) -> bool:
    """Whether a thread's code calls something that is not known here, and may come back: a callback, say."""
    for ref in world.threads.reach([run.ref]):
        for call in world.tree.functions[ref].calls:
            if CALLBACK.search(call.target) or call.target.endswith("[]"):
                return True
    return False


def own_report(world: World, function: Function, call: Call) -> Report:
    return Report(
        call.span,
        f"{function.name}() joins this thread, also if it is called by the thread itself",
        function=function.ref,
        subject=function.owner,
        confidence=0.4,  # who calls it is not known
    )


def joins(world: World, function: Function, call: Call, entry: Entry) -> bool:
    """Whether the call waits for the thread that runs the entry."""
    receiver = world.tree.canonical(call.receiver)
    if entry.starter is None:
        return bool(function.owner) and receiver in world.tree.mro(entry.function.owner)
    return bool(entry.place) and receiver == world.tree.canonical(entry.place)


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
    related = [Related("this thread's code starts here", entry.function.span, function=entry.function.ref)]
    related += [Related("and comes here", edge.call.span, function=edge.caller.ref) for edge in calls[:1]]
    return Report(
        call.span,
        f"{entry.function.name}() runs in the thread that {function.name}() joins, and can call it",
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
