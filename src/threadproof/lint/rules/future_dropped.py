"""A task is given to a pool, and nobody will see its exception.

## What it does
Reports `executor.submit(f)` as a statement, where f has code that may raise outside of any `try`. The same of
`executor.map(f, items)`, whose exceptions are raised where its result is iterated, and nowhere else.

## Why is this bad?
A Future keeps the exception of its task for whoever asks for the result. Without anyone to ask it is lost: no
traceback, no log, only work that was not done.

## Example
```python
pool.submit(self._upload, path)
```

Use instead:

```python
future = pool.submit(self._upload, path)
future.add_done_callback(log_exception)
```

or let `_upload` catch and log its exceptions itself.

## When it is fine
When the task cannot fail, or its failure does not matter to anyone.

## Sources
Error Prone FutureReturnValueIgnored.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.knowledge.threads import EXECUTORS
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World

QUIET = frozenset(
    {
        "debug",
        "info",
        "warning",
        "error",
        "exception",
        "critical",
        "log",
        "set",
        "sleep",
        "wait",
        "append",
        "time",
    }
)


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if not call.discarded or call.method not in ("submit", "map") or not call.args:
                continue
            if not (is_pool(world, call) if call.method == "submit" else is_executor(world, call)):
                continue
            if is_parameter(function, call.args[0]) or call.args[0].endswith("[]"):
                yield Report(
                    call.span,
                    f"an exception in {call.args[0].rpartition('.')[2]} will be seen by nobody: "
                    f"the future is dropped",
                    function=function.ref,
                    confidence=0.6,
                )
            for target in world.calls.function_named(call.args[0]):
                task = behind(world, target)
                raising = first_raising(task)
                if raising is not None or (task.raises and not task.calls):
                    yield Report(
                        call.span,
                        f"an exception in {shown(task)} will be seen by nobody: the future is dropped",
                        function=function.ref,
                        subject=task.ref,
                        related=[
                            Related(
                                "it may be raised here, outside of any try",
                                raising.span if raising else task.span,
                                function=task.ref,
                            )
                        ],
                    )
                    break


def is_executor(world: World, call: Call) -> bool:
    """Whether a call gives tasks to an Executor, whose map() raises their exceptions where it is iterated."""
    target = world.tree.full_target(call).rpartition(".")[0].removesuffix("()")
    return target in EXECUTORS and target.startswith("concurrent.")


def is_pool(world: World, call: Call) -> bool:
    """Whether a call gives a task to a pool of threads, as its type or its name says."""
    target = world.tree.full_target(call)
    if target.rpartition(".")[0].removesuffix("()") in EXECUTORS:
        return True
    name = call.receiver.removesuffix("()").rpartition(".")[2].lower()
    return any(word in name for word in ("executor", "pool", "tpe")) and "process" not in target.lower()


def is_parameter(function: Function, name: str) -> bool:
    """Whether the task is what the caller gave: a callback, whose exceptions are somebody else's."""
    owner, _, local = name.rpartition(".<locals>.")
    return owner == function.ref and local in function.params


def shown(task: Function) -> str:
    return "the lambda" if task.name.startswith("<lambda") else f"{task.name}()"


def behind(world: World, task: Function) -> Function:
    """The function that a lambda does nothing but call."""
    if task.name.startswith("<lambda") and len(task.calls) == 1:
        found = world.tree.called(task.calls[0].target)
        return found[0] if len(found) == 1 else task
    return task


def first_raising(task: Function) -> Call | None:
    """A call of the task that no `try` with `except Exception` is around."""
    if any("*" in call.caught for call in task.calls):
        return None
    for call in task.calls:
        if "*" not in call.caught and call.method not in QUIET:
            return call
    return None


RULE = LintRule(
    code="CM407",
    name="future-dropped",
    message="the exception of a task is lost with its future",
    severity=Severity.WARNING,
    group="default",
    advice="keep the future and ask for its result, or add a done callback that logs",
    cwe=390,
    check_tree=check,
)
