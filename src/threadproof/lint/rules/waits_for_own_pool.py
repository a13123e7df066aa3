"""A task waits for another task of the pool that it runs in.

## What it does
Reports `pool.submit(f).result()` in a function that is itself given to the same pool.

## Why is this bad?
Once all threads of the pool run such a task, each waits for one that no thread is left to run. With one
worker it is the first task already.

## Example
```python
def outer():
    return pool.submit(inner).result()

pool.submit(outer)
```

Call `inner()` itself, or use a second pool for the inner tasks.

## When it is fine
When there are always more threads than tasks that wait.

## Sources
"Deadlocks can occur when the callable associated with a Future waits on the results of another Future", in
CPython's documentation of ThreadPoolExecutor.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if (
                call.method != "result"
                or not call.receiver.endswith(".submit()")
                or call.args
                or call.keywords
            ):
                continue
            pool = world.tree.canonical(call.receiver.removesuffix(".submit()"))
            for entry in world.threads.reached.get(function.ref, ()):
                if entry.kind == "pool" and entry.call and world.tree.canonical(entry.call.receiver) == pool:
                    yield Report(
                        call.span,
                        f"a task of {world.tree.shown(pool)} waits for another task of the same pool",
                        function=function.ref,
                        subject=pool,
                        related=[
                            Related(
                                f"{entry.function.name}() is given to the pool here",
                                entry.call.span,
                                world.tree.module_of[entry.starter.ref].path if entry.starter else "",
                                entry.starter.ref if entry.starter else "",
                            )
                        ],
                        confidence=0.8,
                    )
                    break


RULE = LintRule(
    code="CM220",
    name="waits-for-own-pool",
    message="a task waits for a task of its own pool",
    severity=Severity.ERROR,
    group="preview",
    advice="call the function itself, or use another pool",
    cwe=833,
    check_tree=check,
)
