"""An object that holds a lock is copied.

## What it does
Reports `copy.copy`, `copy.deepcopy`, `pickle.dumps` and `dataclasses.replace` of an object whose class keeps
a lock in an attribute and does not say how it is copied.

## Why is this bad?
`deepcopy` and `pickle` fail: `TypeError: cannot pickle '_thread.lock' object`. A shallow copy shares the
lock, and the containers that it guards, with the original.

## Example
```python
def clone(self):
    return copy.deepcopy(self)  # self._lock cannot be copied
```

Define `__getstate__` without the lock and `__setstate__` that makes a new one, or `__deepcopy__`.

## When it is fine
When copy and original shall be guarded as one.

## Sources
go vet's copylocks.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.tree import World

COPIES = frozenset({"copy.copy", "copy.deepcopy", "pickle.dumps", "dataclasses.replace", "pickle.dump"})
OWN_WAYS = ("__copy__", "__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__", "__setstate__")


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if not call.args or world.tree.resolve(call.target) not in COPIES:
                continue
            owner = world.tree.resolve(call.args[0].removesuffix("()"))
            owner = owner if owner in world.tree.classes else world.tree.type_of(world.tree.canonical(owner))
            lock = lock_of(world, owner)
            if lock:
                yield Report(
                    call.span,
                    f"{owner.rpartition('.')[2]} holds a lock in {world.tree.shown(lock)}, "
                    f"which {call.method}() "
                    + ("shares" if call.method in ("copy", "replace") else "cannot copy"),
                    function=function.ref,
                    subject=lock,
                )


def lock_of(world: World, owner: str) -> str:
    """The attribute of a class that holds a lock, if its instances have no way of their own to be copied."""
    if owner not in world.tree.classes or any(world.tree.method(owner, name) for name in OWN_WAYS):
        return ""
    for place in world.tree.places_under(owner):
        if world.tree.lock_kind(place) in ("plain", "reentrant", "condition"):
            return place
    return ""


RULE = LintRule(
    code="CM405",
    name="copied-lock",
    message="an object that holds a lock is copied",
    severity=Severity.WARNING,
    group="preview",
    advice="define __getstate__ and __setstate__, or __deepcopy__",
    cwe=667,
    check_tree=check,
)
