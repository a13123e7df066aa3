"""A function made in a loop, and run later by another thread, uses the loop's variable.

## What it does
Reports a lambda or function that is made in a loop and uses a variable of that loop, if it is given to
`Thread`, `Timer`, `submit`, `add_done_callback` or the like, or stored outside of the loop.

## Why is this bad?
A closure looks its variables up when it runs. By then the loop has gone on: several threads work on the last
item, and some items on none.

## Example
```python
for host in hosts:
    threading.Thread(target=lambda: ping(host)).start()
```

Use instead:

```python
for host in hosts:
    threading.Thread(target=ping, args=(host,)).start()
```

## When it is fine
When each pass of the loop waits for the function to end. Where that can be seen, it is not reported.

## Sources
go vet's loopclosure; flake8-bugbear B023, which reports closures that run at once as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.facts.scopes import parameters
from threadproof.lint.fixes import Edit, insert_text
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.source import FUNCTIONS, Source, names_loaded, span

LATER = frozenset(
    {
        "Thread", "Timer", "submit", "apply_async", "add_done_callback", "run_in_executor",
        "call_soon_threadsafe", "start_new_thread", "call_later", "finalize", "defer", "schedule", "enter",
        "enterabs", "spawn", "run_async",
    }
)  # fmt: skip
STORES = frozenset({"append", "add", "put", "put_nowait", "insert", "appendleft"})
WAITS = frozenset({"join", "result", "wait", "get"})
Closure = ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef


def check(source: Source) -> Iterator[Report]:
    closures: list[Closure] = [
        *source.all(ast.Lambda),
        *source.all(ast.FunctionDef),
        *source.all(ast.AsyncFunctionDef),
    ]
    for node in closures:
        yield from check_closure(source, node)


def check_closure(source: Source, node: Closure) -> Iterator[Report]:
    loop = loop_around(source, node)
    if loop is None:
        return
    late = variables_of(loop) & free_names(node)
    if not late:
        return
    use = given_away(source, node, loop)
    if use is None or waits_inside(source, loop, use):
        return
    name = min(late)
    what = "lambda" if isinstance(node, ast.Lambda) else f"{node.name}()"
    where = first_use(node, name)
    yield Report(
        span(where),
        f"{what} runs when the loop has gone on, and then finds the last {name}",
        function=source.function_name(node),
        subject=name,
        related=[Related("given away here, to be run later", span(use))],
        data={"name": name, "line": str(node.lineno), "column": str(node.col_offset)},
    )


def loop_around(source: Source, node: ast.AST) -> ast.AST | None:
    """The loop around a closure, in the same function."""
    for part in source.above(node):
        if isinstance(part, FUNCTIONS):
            return None
        if isinstance(part, ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.SetComp | ast.DictComp):
            return part
    return None


def variables_of(loop: ast.AST) -> set[str]:
    """The names that each pass of a loop binds anew."""
    if isinstance(loop, ast.ListComp | ast.SetComp | ast.DictComp):
        return {name for generator in loop.generators for name in names_stored(generator.target)}
    assert isinstance(loop, ast.For | ast.AsyncFor | ast.While)
    names = set() if isinstance(loop, ast.While) else names_stored(loop.target)
    stack: list[ast.AST] = list(loop.body)
    while stack:
        part = stack.pop()
        if isinstance(part, (*FUNCTIONS, ast.ClassDef)):
            continue
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Attribute | ast.Constant | ast.Name):
            continue  # the same again in each pass, most likely
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.add(part.id)
        stack.extend(ast.iter_child_nodes(part))
    return names - carried(loop)


def carried(loop: ast.For | ast.AsyncFor | ast.While) -> set[str]:
    """Names that are updated over all passes, such as a total: a closure wants their last value."""
    return {
        part.target.id
        for part in ast.walk(loop)
        if isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name)
    }


def names_stored(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def free_names(node: Closure) -> set[str]:
    """The names that a function takes from outside of it."""
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    own = set(parameters(node.args))
    for part in body:
        own |= {p.id for p in ast.walk(part) if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)}
        own |= {arg for p in ast.walk(part) if isinstance(p, FUNCTIONS) for arg in parameters(p.args)}
    return {name for part in body for name in names_loaded(part)} - own


def first_use(node: Closure, name: str) -> ast.expr:
    found = [part for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == name]
    default = node.args.defaults
    return min(
        (part for part in found if part not in default), key=lambda part: (part.lineno, part.col_offset)
    )


def given_away(source: Source, node: Closure, loop: ast.AST) -> ast.expr | None:
    """Where the closure is handed to what runs it later."""
    if isinstance(node, ast.Lambda):
        return handed(source, node, loop)
    for use in source.all(ast.Name):
        if use.id == node.name and isinstance(use.ctx, ast.Load) and loop in source.above(use):
            found = handed(source, use, loop)
            if found is not None:
                return found
    return None


def handed(source: Source, value: ast.expr, loop: ast.AST) -> ast.expr | None:
    parent = source.parents[value]
    if isinstance(parent, ast.Call) and is_partial(source, parent) and value in parent.args:
        value, parent = parent, source.parents[parent]
    if parent is loop and not isinstance(value, ast.Name):
        return value  # an item of a comprehension, which is complete before any of them runs
    if is_stored(source, parent, value, loop):
        return value
    if isinstance(parent, ast.keyword):
        parent = source.parents[parent]
    if not isinstance(parent, ast.Call) or parent.func is value:
        return None
    name = parent.func.attr if isinstance(parent.func, ast.Attribute) else getattr(parent.func, "id", "")
    if name in LATER or name.endswith(("Thread", "Timer")):
        return parent
    return None


def is_partial(source: Source, call: ast.Call) -> bool:
    return source.name_of(call.func).rpartition(".")[2] == "partial"


def is_stored(source: Source, parent: ast.AST, value: ast.expr, loop: ast.AST) -> bool:
    """Whether a closure is stored where code outside of the loop finds it, as in an attribute."""
    if isinstance(parent, ast.Assign) and parent.value is value:
        return any(is_outside(target, loop) for target in parent.targets)
    if not isinstance(parent, ast.Call) or value not in parent.args:
        return False
    if isinstance(parent.func, ast.Attribute):
        return parent.func.attr in STORES and (
            is_outside(parent.func, loop) or is_collected(parent.func.value, loop)
        )
    return source.name_of(parent.func).endswith("setattr") and is_outside(parent.args[0], loop)


def is_outside(target: ast.expr, loop: ast.AST) -> bool:
    """Whether a target hangs on `self` or `cls`, which outlive the loop, and not on what the loop makes."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return isinstance(target, ast.Name) and target.id in ("self", "cls")


def is_collected(target: ast.expr, loop: ast.AST) -> bool:
    """Whether a variable is a list that the loop only puts something into."""
    if not isinstance(target, ast.Name) or not isinstance(loop, ast.For | ast.AsyncFor):
        return False
    uses = [part for part in ast.walk(loop) if isinstance(part, ast.Name) and part.id == target.id]
    puts = [
        part
        for part in ast.walk(loop)
        if isinstance(part, ast.Attribute)
        and part.attr in STORES
        and isinstance(part.value, ast.Name)
        and part.value.id == target.id
    ]
    return len(uses) == len(puts)


def waits_inside(source: Source, loop: ast.AST, use: ast.expr) -> bool:
    """Whether the same pass of the loop waits for what it has given away."""
    if not isinstance(use, ast.Call):
        return False
    parent = source.parents[use]
    if isinstance(parent, ast.Attribute) and parent.attr in WAITS:
        return True
    held = stored_as(source, use)
    if not held or isinstance(loop, ast.ListComp | ast.SetComp | ast.DictComp):
        return False
    assert isinstance(loop, ast.For | ast.AsyncFor | ast.While)
    for part in loop.body:
        for call in ast.walk(part):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in WAITS
                and isinstance(call.func.value, ast.Name)
                and call.func.value.id == held
            ):
                return True
            if isinstance(call, ast.Await) and held in names_loaded(call):
                return True
    return False


def stored_as(source: Source, use: ast.Call) -> str:
    """The variable that what a call returns is assigned to."""
    for part in source.above(use):
        if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
            return part.targets[0].id
        if isinstance(part, ast.stmt):
            return ""
    return ""


def fix(source: Source, report: Report) -> Sequence[Edit]:
    """`lambda: ping(host)` becomes `lambda host=host: ping(host)`."""
    name, line, column = (report.data.get(key, "") for key in ("name", "line", "column"))
    for node in source.all(ast.Lambda):
        if (str(node.lineno), str(node.col_offset)) == (line, column):
            late = sorted(variables_of(loop_around(source, node) or node) & free_names(node)) if name else []
            bound = ", ".join(f"{one}={one}" for one in late)
            if node.args.vararg or node.args.kwarg or node.args.kwonlyargs:
                return []
            if list(parameters(node.args)):
                return []  # a caller's argument could land in the new parameter
            return [insert_text(source, node.lineno, node.col_offset + len("lambda"), f" {bound}")]
    return []


RULE = LintRule(
    code="CM301",
    name="late-binding-thread-closure",
    message="a closure that runs later uses a loop's variable",
    severity=Severity.ERROR,
    group="default",
    advice="bind it now: args=(...), functools.partial, or a default argument",
    fix_safety="safe",
    cwe=362,
    words=("thread", "Thread", "Timer", "submit", "apply_async", "add_done_callback", "run_in_executor"),
    check_file=check,
    fix=fix,
)
