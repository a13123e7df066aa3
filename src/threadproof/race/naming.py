"""The name of a container in the program's source: `Registry.items` is clearer in a report than `a dict`.

The expression that an instruction belongs to has the name: `self.items[key]`, `len(self.items)`,
`for item in self.items.values()`. An expression of any other form gives no name.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from threadproof.findings import Place
from threadproof.findings.model import file_name
from threadproof.race.bindings import alias_of, is_local


def name_of(place: Place) -> str | None:
    """The container's name at one access; `self.x`, or a variable that stands for it, becomes `Class.x`."""
    name = source_name(place)
    name = alias_of(name, place) or name if name else None
    owner = place.function.rpartition(".")[0]
    if name and name.startswith("self.") and owner and not owner.endswith("<locals>"):
        return owner.rpartition(".")[2] + name.removeprefix("self")
    return name


def lasting_name(place: Place) -> str | None:
    """The name with the file, and for a variable of a function with that: no other container has it."""
    name = name_of(place)
    if name is None or "." in name:
        return name
    function = place.function.partition(".<locals>")[0] if is_local(name, place) else ""
    return ":".join(filter(None, [file_name(place), function, name]))


def source_name(place: Place) -> str | None:
    """The container's name as written at the place."""
    marked = place.marked()
    return container_in(place.source()[slice(*marked)]) if marked else None


@lru_cache(maxsize=1024)  # expressions: more than a report that is read to its end has
def container_in(source: str) -> str | None:
    """`d` for `d[k]`, `d.get(k)`, `len(d)`, `k in d` and `d`, if `d` is a name or a name's attribute."""
    try:
        expression = ast.parse(source, mode="eval").body
    except SyntaxError:
        return None
    found = container_of(expression)
    return ast.unparse(found) if found is not None and is_name(found) else None


def container_of(expression: ast.expr) -> ast.expr | None:
    match expression:
        case ast.Subscript(value=value) | ast.Call(func=ast.Attribute(value=value)):
            return value
        case ast.Call(func=ast.Name(), args=[only]):
            return container_of(only)
        case ast.Compare(comparators=[only]):
            return only
        case ast.Name() | ast.Attribute():
            return expression
        case _:
            return None


def is_name(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Name) or (
        isinstance(expression, ast.Attribute) and is_name(expression.value)
    )
