"""Something is made at its first use, and two threads may both be the first.

## What it does
Reports `if x is None: x = make()` on an attribute or global that threads share, without a lock, where what is
made must not be made twice: a lock, a pool, a thread, a connection.

## Why is this bad?
Both threads find None and both make one. Two locks do not exclude each other; of two threads or connections
one is never stopped.

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

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Pair
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import sides


def check(world: World, part: Part) -> Iterator[Report]:
    seen: set[tuple[str, str]] = set()
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function) or "functional" in function.notes:
            continue
        for pair in function.pairs:
            if not is_form(pair) or (function.ref, pair.act.place) in seen:
                continue
            shared = world.sharing.of(world.tree.variable(pair.act.place))
            if world.calls.locks_at(function, pair.act.held) or not world.sharing.applies(
                function, shared, pair.act, is_made=True
            ):
                continue
            if not world.sharing.runs_twice(function, shared):
                continue
            worth = world.sharing.worth(pair.act, shared.many)
            confidence = shared.score(function, unique=worth >= 1.0) * worth
            if confidence > 0:
                seen.add((function.ref, pair.act.place))
                yield Report(
                    pair.check.span,
                    f"two threads may both find that {shared.variable.shown} is not made yet, and "
                    f"both make one",
                    function=function.ref,
                    subject=shared.variable.place,
                    related=[
                        Related("made here", pair.act.span, function=function.ref),
                        *sides(world, shared, function, pair.act),
                    ],
                    confidence=confidence,
                )


def is_form(pair: Pair) -> bool:
    if pair.act.kind != "write" or pair.present:
        return False
    made = pair.act.value
    return (
        pair.how in ("none", "truth", "missing")
        and made not in ("none", "tuple")
        and not made.startswith("const")
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
