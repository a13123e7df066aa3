"""A key is tested and then used, and another thread may act in between.

## What it does
Reports `if key in d:` followed by `d[key]`, `del d[key]`, `d.pop(key)` or `d[key] = ...`, and `if d:`
followed by `d.pop()`, where threads share d, and no lock is held from the test to the act. Also `if self.x is
not None:` followed by `self.x.method()`, where another method sets `self.x` to None. And a callback that is
kept because there is no result yet, where another method sets the result and then calls what is kept.

## Why is this bad?
Each step is atomic, the two together are not. Between them another thread may remove the key (KeyError), or
add it (its value is overwritten and lost).

## Example
```python
if key in self._sessions:
    del self._sessions[key]
```

Use one step that does both:

```python
self._sessions.pop(key, None)
```

or hold one lock around the test and the act. With a map of threadproof: `compute_if_absent`,
`compare_and_delete`.

## When it is fine
When only one thread ever changes the container, or the act allows for having come too late.

## Sources
"Thread Safety Guarantees" in CPython's documentation; SpotBugs
AT_OPERATION_SEQUENCE_ON_CONCURRENT_ABSTRACTION.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.facts.expressions import DEREFERENCE
from threadproof.lint.facts.model import Access, Function, Pair
from threadproof.lint.knowledge.containers import REMOVES, WRITES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.rules._pairs import unprotected_pairs
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import guard_of, other_writers, sides
from threadproof.lint.tree.sharing import ANY_LOCK, Shared

KEY_ERRORS = frozenset({"KeyError", "LookupError", "IndexError", "ValueError", "*"})
TAKES = frozenset({"delitem", "pop", "remove", "popitem", "popleft", "getitem"})
# Of a use after a test for None, mostly harmless where all resets are on the way out: only a variable that is
# guarded in half of its uses, or that threads of the tree share, is reported.
RESET_SCORE = 0.64
# Hides the forms that were mostly wrong where only the kind of the class, or its lock, suggests threads.
LITTLE_LESS = 0.9
# Two critical sections of one lock, where one was meant: mostly a mistake, sometimes late without harm.
SECTIONS = 0.5
TESTED_OUTSIDE = 0.7  # the lock is taken for the act, and not for the test of a limit
EVENT_SCORE = 0.6  # an object with a threading.Event of its own waits for another thread
LOST = frozenset({"setitem", "add", "append", "insert", "write", "augment"})


def check(world: World, part: Part) -> Iterator[Report]:
    seen: set[tuple[str, str]] = set()
    for function, pair, shared in unprotected_pairs(world, part, lambda pair: bool(form_of(pair))):
        what = pair.check if form_of(pair) == "sections" else pair.act  # one test may have many acts
        if (function.ref, what.place) in seen:
            continue
        report = consider(world, function, pair, form_of(pair), shared)
        if report is not None:
            seen.add((function.ref, what.place))
            yield report


def form_of(pair: Pair) -> str:
    """The form: "taken" if the act needs the key to stay, "added" if it overwrites a new one, or ""."""
    act = pair.act
    if pair.how in ("contains", "len", "truth", "get") and pair.present is not False and act.kind in TAKES:
        if (act.kind == "pop" and act.value == "default") or (act.kind == "getitem" and ":" in act.key):
            return ""  # a default, or a slice: neither fails
        return "" if KEY_ERRORS & set(act.caught) else "taken"
    if pair.how in ("contains", "missing", "get") and pair.present is False and act.kind in LOST:
        return "added"
    if pair.how in ("none", "truth") and pair.present and act.value == DEREFERENCE and not act.alias:
        return "" if {"AttributeError", "*"} & set(act.caught) else "reset"
    if pair.how == "flag" and pair.check.place != act.place:
        return "late"
    if pair.how == "sections":
        return "sections"
    if pair.how in ("compare", "order", "len") and act.kind in ("augment", "append", "add", "setitem"):
        return "limit"
    return ""


def consider(world: World, function: Function, pair: Pair, form: str, shared: Shared) -> Report | None:
    variable = shared.variable
    if form == "added" and pair.act.kind == "setitem" and pair.how in ("get", "missing"):
        return None  # that is get-then-store
    if not world.sharing.applies(function, shared, pair.act):
        return None
    if form == "taken":
        confidence = taken(world, function, pair, shared)
    elif form == "added":
        confidence = added(world, function, pair, shared)
    elif form == "reset":
        confidence = reset(world, function, pair, shared)
    elif form == "late":
        confidence = late(world, function, pair, shared)
    elif form == "sections":
        confidence = sections(world, function, pair, shared)
    else:
        outside = world.calls.locks_at(function, pair.act.held) - {ANY_LOCK}
        confidence = (TESTED_OUTSIDE if outside else 0.4) * shared.score(function)
    if confidence <= 0:
        return None
    key = f"[{pair.act.key}]" if pair.act.key and pair.act.kind in ("getitem", "setitem", "delitem") else ""
    what = {
        "taken": f"{variable.shown}{key} may be gone: another thread can remove it before the use",
        "added": f"{variable.shown}{key} may have come: another thread can add it before this",
        "reset": f"{variable.shown} may be None: another thread can reset it between the test and the use",
        "late": f"what is added to {variable.shown} may come too late: another thread can set the flag and "
        "take all between the test and this",
        "sections": f"{variable.shown} is changed because of a test in an earlier critical section: what "
        "that found may have changed",
        "limit": f"{variable.shown} may have changed between the test and this",
    }[form]
    if form == "late" and pair.act.kind == "write":
        what = (
            f"what {variable.shown} is set to may come too late: another thread can set the flag and look "
            "for it between the test and this"
        )
    return Report(
        pair.check.span,
        what,
        function=function.ref,
        subject=variable.place,
        related=[
            Related("used here" + guard_of(world, function, pair.act), pair.act.span, function=function.ref),
            *sides(world, shared, function, pair.act),
        ],
        confidence=confidence,
        fix=advice(pair, form),
    )


def taken(world: World, function: Function, pair: Pair, shared: Shared) -> float:
    """How sure it is that another thread can remove what the act needs."""
    removers = [use for use in shared.uses if removes(use.access)]
    others = [use for use in removers if use.access is not pair.act]
    act_removes = removes(pair.act)
    if not others and not (act_removes and world.sharing.runs_twice(function, shared)):
        return 0.0
    if shared.variable.kind() in ("", "list") and pair.how in ("truth", "get") and pair.act.kind == "getitem":
        return 0.3 * shared.score(function)
    if pair.how in ("truth", "len") and pair.act.key and shared.variable.kind() in ("dict", "set"):
        return 0.0  # whether a key is there does not depend on the test for any
    no_lock_or_thread = not (shared.owner_locked or shared.owner_threaded)
    if (pair.act.kind == "getitem" and no_lock_or_thread) or is_only_threaded(function, shared):
        return LITTLE_LESS * shared.score(function)
    return shared.score(function)


def is_only_threaded(function: Function, shared: Shared) -> bool:
    """Whether all that speaks for sharing is that the class starts a thread, on other methods."""
    other = shared.kind_is_shared or shared.common or shared.claims or shared.guarded
    alone = not (other or shared.owner_locked) and function.ref not in shared.crossing
    return shared.owner_threaded and alone


def reset(world: World, function: Function, pair: Pair, shared: Shared) -> float:
    """How sure it is that another thread can set the variable to None before it is used."""
    instance = shared.variable.owner is not None
    resets = [use for use in shared.uses if use.access.kind == "write" and use.access.value == "none"]
    if function.ref in shared.crossing:
        meets = any(world.sharing.may_meet(function, use.function, instance) for use in resets)
        return RESET_SCORE if meets else 0.0
    return RESET_SCORE * shared.score(function) if resets else 0.0


def late(world: World, function: Function, pair: Pair, shared: Shared) -> float:
    """How sure it is that another function sets the flag, and then uses for the last time what was added."""
    setters = [one for one in setters_of(world, pair) if one is not function]
    takers = {
        use.function.ref for use in shared.uses if use.access.kind not in ("append", "add", "write")
    } - {function.ref}
    if not any(takers & run_by(world, setter) for setter in setters) or is_tested_again(function, pair):
        return 0.0
    if pair.act.kind == "write" and any(
        one.kind in WRITES and one.place == pair.check.place for one in function.accesses
    ):
        return 0.0  # made at first use
    if any(is_event(world, access) for access in told_by(world, pair.check)):
        return max(shared.score(function), EVENT_SCORE)
    return shared.score(function) * (1.0 if shared.kind_is_shared else LITTLE_LESS)


def run_by(world: World, function: Function) -> set[str]:
    """A function, and those of its object that it calls."""
    called = world.calls.callees.get(function.ref, ())
    return {function.ref, *(callee.ref for _, callee in called if callee.owner == function.owner)}


def is_tested_again(function: Function, pair: Pair) -> bool:
    """Whether the critical section of the act has a test of its own."""
    return any(
        access.place == pair.check.place and set(access.held) & set(pair.act.held)
        for access in function.accesses
        if pair.check.span < access.span < pair.act.span
    )


def is_event(world: World, access: Access) -> bool:
    return "call:threading.Event" in world.tree.variable(access.place).values


def told_by(world: World, check: Access) -> Sequence[Access]:
    """What a check looks at: the place itself, or those that a method or property of its object reads."""
    owner, _, name = check.place.rpartition(".")
    method = world.tree.method(owner, name) if owner in world.tree.classes else None
    return [check] if method is None else method.accesses


def setters_of(world: World, pair: Pair) -> Iterator[Function]:
    """The functions that set the flag which a check asks for, by itself or through a method.

    What is kept for later, as a callback, may wait for a result, and not only for a flag.
    """
    check, any_value = pair.check, pair.act.kind == "write"
    asked = told_by(world, check)
    for access in asked:
        variable = world.tree.variable(access.place)
        for use in variable.uses:
            written = use.access.kind == "write" and use.access.value not in ("none", "const:False")
            if written and (any_value or access is not check or use.access.value == "const:True"):
                yield use.function
        if is_event(world, access):
            yield from (
                use.function
                for use in variable.uses
                for call in use.function.calls
                if call.method == "set" and world.tree.canonical(call.receiver) == variable.place
            )


def sections(world: World, function: Function, pair: Pair, shared: Shared) -> float:
    """How sure it is that another thread changes what was tested, between the two critical sections."""
    tested = [world.sharing.of(world.tree.variable(one.place)) for one in told_by(world, pair.check)]
    first, second = ({hold.section for hold in one.held} for one in (pair.check, pair.act))
    for access in function.accesses:
        here = {hold.section for hold in access.held}
        if access.place == pair.check.place and second & here:
            return 0.0  # tested again
        if access.place == pair.act.place and first & here and access.kind in WRITES:
            return 0.0  # the second takes back what the first did
    changes = [
        use
        for one in tested
        for use in one.uses
        if use.access.kind in WRITES and use.function is not function
    ]
    return SECTIONS if changes and shared.guarded else 0.0


def removes(access: Access) -> bool:
    return (
        access.kind in REMOVES
        or access.kind == "delitem"
        or (access.kind == "write" and access.value != "none")
    )


def added(world: World, function: Function, pair: Pair, shared: Shared) -> float:
    """How sure it is that two threads may both add, and that it matters."""
    if not (world.sharing.runs_twice(function, shared) or other_writers(shared, function)):
        return 0.0
    return shared.score(function) * world.sharing.worth(pair.act, function)


def advice(pair: Pair, form: str) -> str:
    if form == "taken" and pair.act.kind in ("delitem", "pop"):
        return "use pop(key, None), which tests and removes in one step, or hold one lock over both"
    if form == "reset":
        return "read it into a local variable once, and test and use that, or hold one lock over both"
    if form == "taken":
        return "use get(), or catch the error, or hold one lock over both"
    if form == "added":
        return "use setdefault(), or hold one lock over both; with a map of threadproof, compute_if_absent()"
    return "hold one lock over both"


RULE = LintRule(
    code="CM101",
    name="check-then-act",
    message="a test and the act that depends on it are not one step",
    severity=Severity.WARNING,
    group="preview",
    advice="hold one lock over both",
    fix_safety="unsafe",
    cwe=367,
    per_variable=True,
    check_tree=check,
)
