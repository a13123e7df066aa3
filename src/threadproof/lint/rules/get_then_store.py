"""A value is looked up, made if it is not there, and stored: two threads make two.

## What it does
Reports `v = d.get(k)` followed by `if v is None: d[k] = ...`, and `try: d[k]` followed by `except KeyError:
d[k] = ...`, where threads share d, no lock is held from the lookup to the store, and the value is one of
which there must not be two.

## Why is this bad?
Both threads find nothing, both make a value, and the second overwrites the first. Whoever has the first keeps
using it: two locks for one resource, two connections, counts that are lost.

## Example
```python
lock = self._locks.get(key)
if lock is None:
    lock = self._locks[key] = threading.Lock()
```

Use instead:

```python
lock = self._locks.setdefault(key, threading.Lock())
```

## When it is fine
When both values are equal and either will do, as in a cache of pure results. Say so with `@functional`.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Pair
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.rules._pairs import unprotected_pairs
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import guard_of, other_writers, sides


def check(world: World, part: Part) -> Iterator[Report]:
    seen: set[tuple[str, str]] = set()
    for function, pair, shared in unprotected_pairs(world, part, is_form):
        if (function.ref, pair.act.place) in seen or "functional" in function.notes:
            continue
        if not world.sharing.applies(function, shared, pair.act):
            continue
        if not (world.sharing.runs_twice(function, shared) or other_writers(shared, function)):
            continue
        worth = world.sharing.worth(pair.act, function)
        confidence = shared.score(function, unique=worth >= 1.0) * worth
        if confidence > 0:
            seen.add((function.ref, pair.act.place))
            stored = "stored here" + guard_of(world, function, pair.act)
            yield Report(
                pair.check.span,
                f"two threads may both find nothing in {shared.variable.shown}, and both store a value",
                function=function.ref,
                subject=shared.variable.place,
                related=[
                    Related(stored, pair.act.span, function=function.ref),
                    *sides(world, shared, function, pair.act),
                ],
                confidence=confidence,
            )


def is_form(pair: Pair) -> bool:
    return pair.how in ("get", "missing") and pair.present is False and pair.act.kind == "setitem"


RULE = LintRule(
    code="CM102",
    name="get-then-store",
    message="a value that is not found is made and stored in two steps",
    severity=Severity.WARNING,
    group="preview",
    advice="use setdefault(), or hold one lock over both; with a map of threadproof, compute_if_absent()",
    fix_safety="unsafe",
    cwe=362,
    per_variable=True,
    check_tree=check,
)
