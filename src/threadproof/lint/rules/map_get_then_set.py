"""A concurrent map is read and written in two steps.

## What it does
Reports `if key not in m: m[key] = ...`, `if m.get(key) is None: m[key] = ...`, `m[key] += n`,
`m[key] = f(m[key])`, the same through a variable, and `if key in m:` followed by `m[key]` or `del m[key]`,
on a map of threadproof.

## Why is this bad?
Each step is atomic, the two together are not: another thread can write in between, and its value is lost.
Whoever uses such a map has threads, so that no more evidence is needed.

## Example
```python
if key not in sessions:
    sessions[key] = Session()
counts[key] += 1
```

Use one step:

```python
sessions.compute_if_absent(key, lambda key: Session())
counts.add(key, 1)
```

## When it is fine
When only one thread writes this key.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.rules._own_maps import Maps
from threadproof.lint.source import Source, names_loaded, span, text_of


def check(source: Source) -> Iterator[Report]:
    maps = Maps(source)
    if not maps:
        return
    for update in source.all(ast.AugAssign):
        if isinstance(update.target, ast.Subscript) and maps.at(update.target.value):
            name = text_of(update.target)
            message = f"{name} is read and written in two steps"
            yield Report(span(update), message, function=source.function_name(update), subject=name)
    for store in source.all(ast.Assign):
        yield from computed(source, store, maps)
    for test in source.all(ast.If):
        yield from tested(source, test, maps)
        yield from present(source, test, maps)


def computed(source: Source, store: ast.Assign, maps: Maps) -> Iterator[Report]:
    """A store of a value that was computed from the one that was there."""
    for target in store.targets:
        if not isinstance(target, ast.Subscript) or not maps.at(target.value):
            continue
        place = (text_of(target.value), text_of(target.slice))
        looks = [node for node in ast.walk(store.value) if looked_at(node) == place]
        looks += looked_before(source, store, place)
        if looks:
            yield Report(
                span(store),
                f"{text_of(target)} is read and written in two steps",
                function=source.function_name(store),
                subject=text_of(target),
                related=[Related("read here", span(looks[0]))],
            )


def looked_before(source: Source, store: ast.Assign, place: tuple[str, str]) -> list[ast.expr]:
    """The look whose result is in a variable that a store, or a test around it, uses."""
    around = next((node for node in source.above(store) if isinstance(node, ast.If)), None)
    used = names_loaded(store.value) | (names_loaded(around.test) if around is not None else set())
    function = source.function_of(store)
    found = []
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or node.lineno >= store.lineno or looked_at(node.value) != place:
            continue
        if any(isinstance(target, ast.Name) and target.id in used for target in node.targets):
            found.append(node.value)
    return found


def looked_at(node: ast.AST) -> tuple[str, str] | None:
    """The map and the key of `m[key]` and `m.get(key)`."""
    if isinstance(node, ast.Subscript):
        return text_of(node.value), text_of(node.slice)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and node.args
    ):
        return text_of(node.func.value), text_of(node.args[0])
    return None


def present(source: Source, node: ast.If, maps: Maps) -> Iterator[Report]:
    """A test for a key that is there, with a use that fails if it is not there any more."""
    test = node.test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.In):
        return
    place = (text_of(test.comparators[0]), text_of(test.left))
    if not maps.at(test.comparators[0]):
        return
    for part in (inner for statement in node.body for inner in ast.walk(statement)):
        if (
            isinstance(part, ast.Subscript)
            and not isinstance(part.ctx, ast.Store)
            and looked_at(part) == place
        ):
            yield Report(
                span(part),
                f"{text_of(part)} may be gone since the test",
                function=source.function_name(part),
                subject=place[0],
                related=[Related("tested here", span(test))],
            )
            return


def tested(source: Source, node: ast.If, maps: Maps) -> Iterator[Report]:
    """A test for a missing key, with the store that depends on it."""
    looked = missing(node.test)
    if looked is None or source.parents.get(node) is None:
        return
    for statement in node.body:
        if not isinstance(statement, ast.Assign):
            continue
        for target in statement.targets:
            same = isinstance(target, ast.Subscript) and looked_at(target) == looked
            if same and isinstance(target, ast.Subscript) and maps.at(target.value):
                message = f"{text_of(target)} may have come between the test and this store"
                related = [Related("tested here", span(node.test))]
                function = source.function_name(node)
                yield Report(span(statement), message, function=function, subject=looked[0], related=related)


def missing(test: ast.expr) -> tuple[str, str] | None:
    """The map and the key of `key not in m` and `m.get(key) is None`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    (operator,), (right,) = test.ops, test.comparators
    if isinstance(operator, ast.NotIn):
        return text_of(right), text_of(test.left)
    is_get = isinstance(test.left, ast.Call) and isinstance(test.left.func, ast.Attribute)
    if (
        isinstance(operator, ast.Is)
        and is_get
        and isinstance(test.left, ast.Call)
        and len(test.left.args) == 1
    ):
        assert isinstance(test.left.func, ast.Attribute)
        if test.left.func.attr == "get":
            return text_of(test.left.func.value), text_of(test.left.args[0])
    return None


RULE = LintRule(
    code="CM504",
    name="map-get-then-set",
    message="a concurrent map is read and written in two steps",
    severity=Severity.WARNING,
    group="default",
    advice="use compute(), compute_if_absent(), add() or pop(key, default), which are one step",
    cwe=362,
    words=("threadproof",),
    check_file=check,
)
