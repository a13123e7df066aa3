"""Threads share an object that looks like each one's own: a mutable default, or a class attribute.

## What it does
Reports a function that several threads run and that changes a mutable default argument, and a Thread subclass
whose `run` changes a list, dict or set that belongs to the class.

## Why is this bad?
The default is made once, with the function; the class attribute once, with the class. All threads change the
one object.

## Example
```python
class Worker(threading.Thread):
    results = []  # one list for all workers

    def run(self):
        self.results.append(work())
```

Make it in `__init__`.

## When it is fine
When it is meant to be shared; then a lock belongs to it, or a queue in its place.

## Sources
ruff B006 and RUF012, which do not look at threads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.containers import METHODS, READS, kind_of
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.source import Source, span
from threadproof.lint.tree import World

CHANGERS = METHODS - READS


def check(world: World, part: Part) -> Iterator[Report]:
    """Class attributes changed in `run` of a Thread subclass."""
    for function in part.functions:
        if function.name != "run" or not function.owner or not world.threads.is_thread_class(function.owner):
            continue
        body = world.tree.functions.get(f"{function.owner}.<class>")
        made = {a.place: a for a in body.accesses if a.kind == "write" and kind_of(a.value)} if body else {}
        rebound = {
            use.access.place
            for place in made
            for use in world.tree.variable(place).uses
            if use.access.kind == "write" and use.function is not body
        }
        for access in function.accesses:
            changes = access.kind in CHANGERS or access.kind in ("setitem", "augmentitem")
            if (
                changes
                and access.place in made
                and access.place not in rebound
                and not world.tree.locks(access.held)
            ):
                name = access.place.rpartition(".")[2]
                yield Report(
                    access.span,
                    f"self.{name} belongs to the class: all threads change the same object",
                    function=function.ref,
                    subject=access.place,
                    related=[Related("made here, once", made[access.place].span)],
                    confidence=0.8,
                )
                break


def check_defaults(source: Source) -> Iterator[Report]:
    """Mutable defaults of functions that are thread targets in the same file."""
    targets = {
        source.name_of(word.value).rpartition(".")[2]
        for call in source.all(ast.Call)
        if source.name_of(call.func) == "threading.Thread"
        for word in call.keywords
        if word.arg == "target"
    }
    for node in source.all(ast.FunctionDef):
        if node.name in targets:
            for name, default in mutable_defaults(node):
                if is_changed(node, name):
                    yield Report(
                        span(default),
                        f"all threads that run {node.name}() share this default of {name}",
                        function=source.function_name(default),
                        subject=f"{node.name}.{name}",
                        confidence=0.8,
                    )


def mutable_defaults(node: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    args = [*node.args.posonlyargs, *node.args.args]
    pairs = list(zip(args[len(args) - len(node.args.defaults) :], node.args.defaults, strict=True))
    pairs += [
        (arg, value) for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value
    ]
    for arg, default in pairs:
        if isinstance(default, ast.List | ast.Dict | ast.Set):
            yield arg.arg, default


def is_changed(node: ast.FunctionDef, name: str) -> bool:
    """Whether a function changes the container of a name: by an item, or by a method."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript):
            changes = isinstance(part.ctx, ast.Store | ast.Del)
        elif isinstance(part, ast.Attribute):
            changes = part.attr in CHANGERS
        else:
            continue
        if changes and isinstance(part.value, ast.Name) and part.value.id == name:
            return True
    return False


RULE = LintRule(
    code="CM401",
    name="mutable-default-in-thread",
    message="threads share a mutable default or class attribute",
    severity=Severity.WARNING,
    group="preview",
    advice="make a new one for each call or object",
    cwe=362,
    words=("Thread",),
    check_file=check_defaults,
    check_tree=check,
)
