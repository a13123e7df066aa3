"""An attribute of a `threading.local` is set only where the object is made, and read in other threads.

## What it does
Reports an attribute of a thread-local object that is assigned only in a constructor or when a module is
imported, and read elsewhere.

## Why is this bad?
Every thread has its own attributes. What is assigned in `__init__` is there in the thread that ran
`__init__`, and in no other: they get `AttributeError`, as soon as a second thread comes along.

## Example
```python
class Client:
    def __init__(self):
        self._local = threading.local()
        self._local.session = None

    def session(self):
        if self._local.session is None:  # AttributeError in every other thread
            self._local.session = connect()
        return self._local.session
```

Use a subclass, whose `__init__` runs once in each thread that uses the object:

```python
class Local(threading.local):
    def __init__(self):
        self.session = None
```

or read with `getattr(self._local, "session", None)`.

## When it is fine
When only the thread that made the object reads the attribute; then it need not be a thread-local.

## Sources
threading.local in CPython's documentation; `_threading_local.py`, whose docstring shows the subclass.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.source import Source, span
from threadproof.lint.tree import World
from threadproof.lint.tree.index import Use, Variable

LOCALS = ("call:threading.local", "call:_threading_local.local", "call:gevent.local.local")
# Functions that come after others have set something.
LAST = re.compile(r"_*(exit|end|stop|close|pop|release|leave|restore|reset|clear|finish|tear_?down)")


def check(world: World, part: Part) -> Iterator[Report]:
    for variable in world.tree.variables_of(part.name):
        if not variable.values & set(LOCALS):
            continue
        for name, uses in attributes_of(world, variable).items():
            yield from check_attribute(world, variable, name, uses)


def attributes_of(world: World, local: Variable) -> dict[str, list[Use]]:
    """The uses of each attribute of a thread-local object."""
    found: defaultdict[str, list[Use]] = defaultdict(list)
    for place in world.tree.places_under(local.place):
        name = place[len(local.place) + 1 :]
        if "." not in name and "[]" not in name:
            found[name] += world.tree.variables[place].uses
    return found


def check_attribute(world: World, local: Variable, name: str, uses: list[Use]) -> Iterator[Report]:
    first = first_write(world, local, uses)
    if first is None:
        return
    written = [use for use in uses if use.access.kind == "write"]
    for use in uses:
        if is_first_thread(world, local, use.function) or is_careful(use) or is_set_before(use, written):
            continue
        yield Report(
            first.access.span,
            f"{local.shown}.{name} is set only in the thread that runs {first.function.name}; "
            f"{use.function.name}() reads it in any thread",
            function=first.function.ref,
            subject=f"{local.place}.{name}",
            related=[Related("read here", use.access.span, function=use.function.ref)],
        )
        return


def first_write(world: World, local: Variable, uses: list[Use]) -> Use | None:
    """The write of a beginning, in the thread that makes the object; readers rely on it."""
    writes = [use for use in uses if use.access.kind == "write"]
    return next((use for use in writes if is_first_thread(world, local, use.function)), None)


def is_first_thread(world: World, local: Variable, function: Function) -> bool:
    """Whether a function is set-up, or makes the thread-local object."""
    makes = any(use.function is function and use.access.value in LOCALS for use in local.uses)
    return makes or function.ref in world.calls.setup


def is_set_before(use: Use, written: list[Use]) -> bool:
    """Whether a function has set the attribute before it reads it, or ends something that did."""
    if LAST.match(use.function.name) and any(one.function.ref != use.function.ref for one in written[1:]):
        return True
    return any(one.function is use.function and one.access.span < use.access.span for one in written)


def is_careful(use: Use) -> bool:
    """Whether a use allows for the attribute not being there."""
    caught = {"AttributeError", "*"} & set(use.access.caught)
    return bool(caught) or use.access.kind in ("hasattr", "write", "delete")


def check_made_in_function(source: Source) -> Iterator[Report]:
    """`tl = threading.local()` in a function that keeps it to itself: each call has one of its own."""
    for node in source.all(ast.Assign):
        target, function = node.targets[0], source.function_of(node)
        if not isinstance(node.value, ast.Call) or source.name_of(node.value.func) != "threading.local":
            continue
        if not isinstance(target, ast.Name) or isinstance(function, ast.Module):
            continue
        uses = [
            n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == target.id and n is not target
        ]
        own = all(
            isinstance(source.parents[use], ast.Attribute) and source.function_of(use) is function
            for use in uses
        )
        declared = any(
            isinstance(n, ast.Global | ast.Nonlocal) and target.id in n.names for n in ast.walk(function)
        )
        if uses and own and not declared and not isinstance(source.parents[node], ast.ClassDef):
            yield Report(
                span(node),
                f"{target.id} is made anew for each call, so that no thread finds what it stored before",
                function=source.function_name(node),
                subject=target.id,
                fix="make it once, in the module or in __init__",
            )


RULE = LintRule(
    code="CM404",
    name="thread-local-set-once",
    message="attribute of a threading.local set only in the thread that makes it",
    severity=Severity.ERROR,
    group="default",
    advice="set it in __init__ of a subclass of threading.local, which runs in each thread",
    cwe=665,
    words=("threading",),
    check_file=check_made_in_function,
    check_tree=check,
)
