"""Threads add to the values of a shared defaultdict.

## What it does
Reports `groups[key].append(x)` on a `defaultdict` in code that several threads run, without a lock.

## Why is this bad?
A missing key is looked up, its value made and stored in several steps. Two threads may each make a list for
the same key: the second replaces the first, and what was appended to that is lost.

## Example
```python
groups = defaultdict(list)

def worker(key, item):
    groups[key].append(item)
```

Hold a lock, or use `groups.setdefault(key, []).append(item)`, which stores one list only.

## When it is fine
When all keys are there before the threads start.

## Sources
"Thread Safety Guarantees" in CPython's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.containers import CHANGES
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.evidence import sides


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous or function.ref in world.calls.setup:
            continue
        for access in function.accesses:
            if not access.place.endswith("[]") or access.kind not in CHANGES:
                continue
            variable = world.tree.variable(access.place.removesuffix("[]"))
            if "call:collections.defaultdict" not in variable.values:
                continue
            shared = world.sharing.of(variable)
            if shared.many and not world.calls.locks_at(function, access.held):
                yield Report(
                    access.span,
                    f"two threads may each make a value for the same key of {variable.shown}, and "
                    f"one is lost",
                    function=function.ref,
                    subject=variable.place,
                    related=sides(world, shared, function, access),
                    confidence=0.7,
                )
                break


RULE = LintRule(
    code="CM108",
    name="defaultdict-append",
    message="values of a shared defaultdict are made by several threads",
    severity=Severity.WARNING,
    group="preview",
    advice="hold a lock, or use setdefault(key, []).append(...)",
    cwe=362,
    per_variable=True,
    check_tree=check,
)
