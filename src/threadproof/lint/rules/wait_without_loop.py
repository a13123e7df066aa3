"""A condition is waited for once, and not until it holds.

## What it does
Reports `Condition.wait()` without a timeout that is not in a loop, or in one that tests what it waits for
before it takes the lock. Also one with a timeout, if what was tested before is taken after it untested.

## Why is this bad?
Between the `notify()` and the moment this thread has the lock again, another thread may have taken what it
waited for. A wait may also have timed out, or the notification may have come before the wait began, and then
it is lost.

## Example
```python
with self._not_empty:
    if not self._items:
        self._not_empty.wait()
    return self._items.pop()  # another thread may have been faster
```

Use instead:

```python
with self._not_empty:
    self._not_empty.wait_for(lambda: self._items)
    return self._items.pop()
```

## When it is fine
When a later test makes up for it, and the wait is only a pause that may end early.

## Sources
threading.Condition in CPython's documentation; SpotBugs WA_NOT_IN_LOOP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World

TESTS = frozenset({"read", "truth", "len", "contains"})
TAKES = frozenset({"pop", "popleft", "popitem", "remove", "delitem", "getitem"})
TAKE_ERRORS = frozenset({"IndexError", "KeyError", "LookupError", "ValueError", "*"})


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if call.method != "wait" or not is_condition(world, call):
                continue
            if (call.args or call.keywords) and not taken_after(function, call):
                continue  # with a timeout it is a pause that a notify() may cut short
            name = world.tree.shown(call.receiver)
            message = ""
            if not call.loop and not is_wrapper(function):
                message = f"wait() on {name} is not in a loop that tests what it waits for"
            elif call.loop and tested_outside(function, call):
                message = (
                    f"what wait() on {name} depends on is tested before the lock is taken: a notify() in "
                    "between is missed"
                )
            if message:
                yield Report(
                    call.span, message, function=function.ref, subject=world.tree.canonical(call.receiver)
                )


def taken_after(function: Function, call: Call) -> bool:
    """Whether a wait depends on a test of a container, from which something is taken after it untested."""
    section = {hold for hold in call.held if hold.lock == call.receiver} or set(call.held)
    if not call.tested or not section:
        return False
    here = [access for access in function.accesses if section & set(access.held)]
    tested = {one.place for one in here if one.kind in TESTS and one.span < call.span}
    after = [one for one in here if one.span > call.span and one.place in tested]
    return bool(after) and after[0].kind in TAKES and not TAKE_ERRORS & set(after[0].caught)


def tested_outside(function: Function, call: Call) -> bool:
    """Whether a wait depends on a test, and nothing is looked at from where the lock is taken to the wait."""
    section = {hold for hold in call.held if hold.lock == call.receiver}
    inside = [acquire for acquire in function.acquires if acquire.lock == call.receiver]
    if not call.tested or not section or not any(call.loop < one.span.line for one in inside):
        return False
    return not any(
        section & set(access.held) and access.place != call.receiver and access.span < call.span
        for access in function.accesses
    )


def is_condition(world: World, call: Call) -> bool:
    """Whether wait() is of a Condition: it is known to be one, or it is held as a lock."""
    place = world.tree.canonical(call.receiver)
    type_ = world.tree.type_of(place)
    values = world.tree.values_of(place)
    if type_ == "threading.Condition" or "call:threading.Condition" in values:
        return True
    is_held = any(hold.lock == call.receiver and not hold.asynchronous for hold in call.held)
    is_of_processes = any(value.startswith("call:multiprocessing.") for value in values)
    is_other = type_ in world.tree.classes or is_of_processes
    return is_held and not call.awaited and not is_other and bool(world.tree.lock(place))


def is_wrapper(function: Function) -> bool:
    """Whether a function only passes the wait on, so that the loop is its caller's."""
    return bool(re.match(r"_*(do_)?wait(_|$)", function.name)) or function.name.startswith("__")


RULE = LintRule(
    code="CM210",
    name="wait-without-loop",
    message="Condition.wait() is not in a loop",
    severity=Severity.WARNING,
    group="default",
    advice="use wait_for(predicate), or `while not predicate: wait()`",
    cwe=667,
    check_tree=check,
)
