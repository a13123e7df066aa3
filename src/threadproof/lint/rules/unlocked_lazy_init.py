"""Something is made at its first use, and two threads may both be the first.

## What it does
Reports `if x is None: x = make()` on an attribute or global that threads share, without a lock, where what is
made must not be made twice: a lock, a pool, a thread, a connection, the one object of a class. The same where
a method or constructor that is called makes it, where a flag says that a thread has been started, and where a
thread is started again because it is not alive. Also a container or object that is put in its place first and
filled after that, also if a flag says so at the end, and a global that its setter sets only once.

## Why is this bad?
Both threads find None and both make one. Two locks do not exclude each other; of two threads or connections
one is never stopped. What is filled after it has been put in its place is found there half made.

## Example
```python
def connection(self):
    if self._connection is None:
        self._connection = connect()
    return self._connection
```

Use instead:

```python
def connection(self):
    with self._lock:
        if self._connection is None:
            self._connection = connect()
        return self._connection
```

or `threadproof.sync.Once`.

## When it is fine
When both are equal and either will do. Say so with `@functional`.

## Sources
SpotBugs LI_LAZY_INIT_STATIC; Infer RacerD's @Functional.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.assignments import EMPTY
from threadproof.lint.facts.model import Access, Call, Function, Pair
from threadproof.lint.knowledge.containers import ADDS, kind_of
from threadproof.lint.knowledge.threads import THREAD_CLASSES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.rules._pairs import unprotected_pairs
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import sides
from threadproof.lint.tree.sharing import Shared

TESTS = ("none", "truth", "missing")
TRUE = "const:True"
SINGLE = re.compile(r"(^|_)(instance|singleton)$")  # names of variables that hold the one object of a class
# Methods that make an object ready.
SETS_UP = re.compile(r"_*(connect|bind|open|load|init|setup|set_up|configure|login|register)")
LAZY_THREAD = 0.5
SETTER = re.compile(r"_*(set|register|install|configure)(_|$)")
# Methods that the one owner of an object calls.
LIFE_CYCLE = re.compile(
    r"_*(re)?(start|run|open|connect|begin|launch|setup|set_up|init|main|enter|play|resume)"
)
FILLS = ADDS | {"setitem"}


def check(world: World, part: Part) -> Iterator[Report]:
    seen: set[tuple[str, str]] = set()
    for function, pair, shared in unprotected_pairs(world, part, is_form):
        if world.calls.locks_at(function, pair.act.held) or "functional" in function.notes:
            continue  # under a lock it is double-checked initialisation, or broken
        act = pair.act
        if act.value == TRUE and not is_started_once(function, pair):
            filled = filled_before(function, pair)
            if filled is None:
                continue
            act, shared = filled, world.sharing.of(world.tree.variable(filled.place))
        report = consider(world, function, pair.check, act, function, shared, act is not pair.act)
        if report is not None and (function.ref, pair.act.place) not in seen:
            seen.add((function.ref, pair.act.place))
            yield report
    for function in part.functions:
        for call in function.calls if not function.asynchronous else ():
            report = made_by_call(world, function, call)
            if report is not None and (function.ref, report.subject) not in seen:
                seen.add((function.ref, report.subject))
                yield report


def is_form(pair: Pair) -> bool:
    if pair.act.kind != "write" or not is_made(pair.act):
        return False
    if pair.how == "query":  # `if not self._thread.is_alive():`, mostly after `self._thread is None or`
        return pair.act.value.startswith("call:") and kind_of(pair.act.value) != "safe"
    return not pair.present and pair.how in TESTS


def is_made(act: Access) -> bool:
    """Whether a write is of something made, or of a flag that says so."""
    made = act.value
    return made == TRUE or (made not in ("none", "tuple") and not made.startswith("const"))


def is_filled_later(function: Function, test: Access, act: Access) -> bool:
    """Whether a container or object is put in its place, and only then filled, all because of one test."""
    inside = act.place + "."
    if any(
        call.receiver == act.place and call.tested and call.span > act.span and SETS_UP.match(call.method)
        for call in function.calls
    ):
        return True
    return any(
        pair.check is test and pair.act.kind in FILLS and pair.act.span > act.span for pair in function.pairs
    ) or any(
        access.kind == "write" and access.place.startswith(inside) and access.span > act.span
        for access in function.accesses
    )


def starts_thread_by_the_way(world: World, function: Function, maker: Function, act: Access) -> bool:
    """Whether a function that does something else starts a thread at its first call.

    Who hands work to a thread need not be one thread, or the thread would be started with the object.
    """
    made = world.tree.resolve(act.value.removeprefix("call:"))
    is_thread = made in THREAD_CLASSES or (made in world.tree.classes and world.threads.is_thread_class(made))
    callers = [edge.caller.name for edge in world.calls.callers.get(function.ref, ())]
    return (
        is_thread
        and starts(maker, 0, maker.span.end_line)
        and not any(map(LIFE_CYCLE.match, (function.name, *callers)))
        and world.threads.entries_at(function, True) == []
    )


def is_given(maker: Function, act: Access) -> bool:
    """Whether a function that sets a global once gives it what its caller has made."""
    given = act.value.removeprefix(f"ref:{maker.ref}.<locals>.")
    return given in maker.params and bool(SETTER.match(maker.name))


def filled_before(function: Function, pair: Pair) -> Access | None:
    """The container that is put in its place and filled between the test of a flag and its setting."""
    owner = pair.act.place.rpartition(".")[0]
    between = [one for one in function.accesses if pair.check.span < one.span < pair.act.span]
    for number, access in enumerate(between):
        made = access.kind == "write" and access.value in EMPTY and access.place.rpartition(".")[0] == owner
        if made and any(one.place == access.place and one.kind in FILLS for one in between[number:]):
            return access
    return None


def is_started_once(function: Function, pair: Pair) -> bool:
    """Whether a flag says that a thread has been started: before it is set, or in a method that starts it."""
    last = function.span.end_line if LIFE_CYCLE.match(function.name) else pair.act.span.line
    return starts(function, pair.check.span.line, last)


def starts(function: Function, first: int, last: int) -> bool:
    """Whether a function starts a thread, a timer or a process between two lines."""
    return any(call.method == "start" and first <= call.span.line <= last for call in function.calls)


def made_by_call(world: World, function: Function, call: Call) -> Report | None:
    """`if self._thread is None: self._start()`, where _start() sets it, and neither takes a lock."""
    test = call.missing
    if test is None or world.calls.locks_at(function, call.held) or world.sharing.in_setup(function):
        return None
    place = world.tree.canonical(test.place)
    callees = world.tree.called(call.target)
    for callee in callees if len(callees) == 1 else ():
        if callee.asynchronous or callee.name == "__enter__":
            continue
        for act in callee.accesses:
            if callee.name == "__init__" and not act.common:
                continue  # an attribute of a new object
            if act.kind != "write" or not is_made(act) or world.tree.canonical(act.place) != place:
                continue
            if world.tree.locks(act.held) or (act.value == TRUE and not starts(callee, 0, act.span.line)):
                return None
            if any(
                one.place == act.place and one.kind != "write"
                for one in callee.accesses
                if one.span < act.span
            ):
                return None  # it looks again by itself
            shared = world.sharing.of(world.tree.variable(act.place))
            return consider(world, function, test, act, callee, shared)
    return None


def consider(
    world: World,
    function: Function,
    test: Access,
    act: Access,
    maker: Function,
    shared: Shared,
    filled: bool = False,
) -> Report | None:
    if not world.sharing.applies(maker, shared, act, is_made=True):
        return None
    if function.ref in world.calls.setup and not act.common:
        return None  # an attribute of a new object
    lazy = starts_thread_by_the_way(world, function, maker, act)
    if not lazy and not world.sharing.runs_twice(function, shared):
        return None
    unique = act.value == TRUE or (
        shared.common and (bool(SINGLE.search(shared.variable.name)) or is_given(maker, act))
    )
    value = 1.0 if unique else world.sharing.worth(act, function)
    message = f"two threads may both find that {shared.variable.shown} is not made yet, and both make one"
    if value < 1.0 and (filled or is_filled_later(maker, test, act)):
        value = 1.0
        message = (
            f"{shared.variable.shown} can be seen half made: it is put in its place, and filled after that"
        )
    confidence = max(shared.score(function, unique=value >= 1.0) * value, LAZY_THREAD * lazy)
    if confidence <= 0:
        return None
    return Report(
        test.span,
        message,
        function=function.ref,
        subject=shared.variable.place,
        related=[
            Related("made here", act.span, world.tree.module_of[maker.ref].path, maker.ref),
            *sides(world, shared, function, act),
        ],
        confidence=confidence,
    )


RULE = LintRule(
    code="CM402",
    name="unlocked-lazy-init",
    message="made at first use without a lock",
    severity=Severity.WARNING,
    group="preview",
    advice="make it in __init__, or test and make it under one lock",
    cwe=362,
    per_variable=True,
    check_tree=check,
)
