"""A thread's code runs in the thread that makes it.

## What it does
Reports `Thread(...).run()`, and `target=f()` where `f` returns nothing.

## Why is this bad?
`run()` is what the new thread calls. Called by hand it runs here and now, and no thread is started.
`target=f()` calls f at once as well, and gives the thread its result, None, to do.

## Example
```python
worker = threading.Thread(target=poll)
worker.run()
threading.Thread(target=poll()).start()
```

Use instead:

```python
worker = threading.Thread(target=poll)
worker.start()
threading.Thread(target=poll).start()
```

## When it is fine
In a test of a Thread subclass whose `run()` is to run here.

## Sources
SpotBugs RU_INVOKE_RUN; pylint W1506.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.fixes import Edit, replace_text
from threadproof.lint.knowledge.threads import FUNCTIONS, METHODS
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.source import Source
from threadproof.lint.tree import World


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        for call in function.calls:
            if is_run(world, function, call):
                yield Report(
                    call.span,
                    "run() runs the thread's code here; start() runs it in the thread",
                    function=function.ref,
                    data={"form": "run"},
                )
            elif (called := called_target(world, call)) is not None:
                yield Report(
                    call.span,
                    f"{called.name}() is called here, and the thread is given its result, None",
                    function=function.ref,
                    fix=f"write {called.name} without the call",
                    data={"form": "target"},
                )


def is_run(world: World, function: Function, call: Call) -> bool:
    if (
        call.method != "run"
        or not call.receiver
        or "<super>" in call.target
        or call.receiver == function.owner
    ):
        return False
    receiver = world.tree.full_target(call).rpartition(".")[0]
    receiver = receiver.removesuffix("()")
    if receiver != "threading.Thread":
        return False
    # A thread that is started somewhere runs its code in a thread too.
    return call.receiver.endswith("()") or not any(
        c.method == "start" and c.receiver == call.receiver for c in function.calls
    )


def called_target(world: World, call: Call) -> Function | None:
    """The function that `target=f()` calls, if it returns nothing that could be run."""
    target = given_target(world, call)
    if not target.endswith("()"):
        return None
    found = world.tree.called(target[:-2])
    if len(found) != 1 or found[0].name == "__init__":
        return None
    function = found[0]
    silent = not (
        function.returns_value or function.generator or function.asynchronous or function.decorators
    )
    return function if silent else None


def given_target(world: World, call: Call) -> str:
    """What a thread, a timer or a pool is to run; "" if the call starts none."""
    starter = FUNCTIONS.get(world.tree.full_target(call))
    if starter is None and call.method == "submit" and call.receiver:
        starter = METHODS["submit"]
    if starter is None or starter.kind not in ("thread", "timer", "pool"):
        return ""
    target = call.keyword(starter.keyword)
    if target is None and len(call.args) > starter.position:
        target = call.args[starter.position]
    return target or ""


def fix(source: Source, report: Report) -> Sequence[Edit]:
    if report.data.get("form") != "run":
        return []
    return [replace_text(source, report.span, ".run(", ".start(")]


RULE = LintRule(
    code="CM406",
    name="run-not-start",
    message="the code of a thread runs in the thread that makes it",
    severity=Severity.ERROR,
    group="default",
    advice="call start()",
    fix_safety="safe",
    cwe=572,
    check_tree=check,
    fix=fix,
)
