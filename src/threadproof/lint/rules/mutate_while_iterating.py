"""A loop adds to or removes from the container it iterates.

## What it does
Reports `for k in d:` whose body deletes `d[k]`, pops k or discards it, and goes on.

## Why is this bad?
A dict or set raises `RuntimeError: dictionary changed size during iteration` at the next step; a list skips
an item. No second thread is needed.

## Example
```python
for key in sessions:
    if sessions[key].expired:
        del sessions[key]
```

Use instead:

```python
for key in list(sessions):
```

## When it is fine
When the loop ends right after.

## Sources
ruff B909; pylint E4702 and E4703.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadproof.findings import Severity
from threadproof.lint.fixes import Edit, insert_text
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.source import FUNCTIONS, Source, span, text_of

ENDS = (ast.Break, ast.Return, ast.Raise)
VIEWS = frozenset({"keys", "values", "items"})


def check(source: Source) -> Iterator[Report]:
    for loop in source.all(ast.For):
        container = loop.iter
        if (
            isinstance(container, ast.Call)
            and isinstance(container.func, ast.Attribute)
            and container.func.attr in VIEWS
        ):
            container = container.func.value
        if isinstance(container, ast.Name | ast.Attribute):
            change = first_change(loop, loop.body, text_of(container))
            if change is not None and is_dict(source, text_of(container)):
                yield Report(
                    span(change),
                    f"{text_of(container)} is iterated, and changed here",
                    function=source.function_name(loop),
                    subject=text_of(container),
                    related=[Related("iterated here", span(loop.iter))],
                    data={
                        "line": str(loop.iter.lineno),
                        "column": str(loop.iter.col_offset),
                        "end": f"{loop.iter.end_lineno}:{loop.iter.end_col_offset}",
                    },
                )


def is_dict(source: Source, container: str) -> bool:
    """Whether a variable of that name is given only dicts or sets in this file."""
    plain = [(target, node.value) for node in source.all(ast.Assign) for target in node.targets]
    annotated = [(node.target, node.value) for node in source.all(ast.AnnAssign)]
    values = [
        value
        for target, value in [*plain, *annotated]
        if isinstance(target, ast.Name | ast.Attribute) and text_of(target) == container
    ]
    return bool(values) and all(is_made_dict(source, value) for value in values)


def is_made_dict(source: Source, value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return source.name_of(value.func).rpartition(".")[2] in (
            "dict",
            "set",
            "defaultdict",
            "OrderedDict",
            "Counter",
        )
    return isinstance(value, ast.Dict | ast.DictComp | ast.Set | ast.SetComp)


def first_change(loop: ast.For, body: Sequence[ast.stmt], container: str) -> ast.stmt | None:
    """The first statement that removes the loop's item and lets the loop go on."""
    for number, statement in enumerate(body):
        if isinstance(statement, FUNCTIONS):
            continue
        if takes_item(loop, statement, container) and not ends(body[number + 1 :]):
            return statement
        for part in ("body", "orelse", "finalbody"):
            inner = getattr(statement, part, None)
            if isinstance(inner, list) and not isinstance(statement, ast.For | ast.While):
                found = first_change(loop, inner, container)
                if found is not None and not ends(body[number + 1 :]):
                    return found
    return None


def ends(rest: Sequence[ast.stmt]) -> bool:
    return any(isinstance(statement, ENDS) for statement in rest)


def takes_item(loop: ast.For, statement: ast.stmt, container: str) -> bool:
    item = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) and loop.target.elts else loop.target
    if not isinstance(item, ast.Name):
        return False
    if isinstance(statement, ast.Delete):
        return any(
            isinstance(target, ast.Subscript)
            and text_of(target.value) == container
            and text_of(target.slice) == item.id
            for target in statement.targets
        )
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        return (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in ("pop", "remove", "discard")
            and text_of(call.func.value) == container
            and bool(call.args)
            and text_of(call.args[0]) == item.id
        )
    return False


def fix(source: Source, report: Report) -> Sequence[Edit]:
    line, column = int(report.data["line"]), int(report.data["column"])
    end_line, _, end_column = report.data["end"].partition(":")
    return [
        insert_text(source, line, column, "list("),
        insert_text(source, int(end_line), int(end_column), ")"),
    ]


RULE = LintRule(
    code="CM104",
    name="mutate-while-iterating",
    message="a loop changes the container it iterates",
    severity=Severity.WARNING,
    group="preview",
    advice="iterate list(...)",
    fix_safety="safe",
    cwe=662,
    words=("del ", ".discard("),
    check_file=check,
    fix=fix,
)
