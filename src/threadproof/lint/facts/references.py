"""From an expression to the reference it stands for: through imports, `self`, aliases and typed variables."""

from __future__ import annotations

import ast
from typing import NamedTuple

from threadproof.lint.facts.model import Function, Module
from threadproof.lint.facts.scopes import Scope

# Types that are only wrapped around another: `Optional[Pool]` is a Pool.
WRAPPERS = frozenset({"Optional", "Annotated", "Final", "ClassVar", "Type", "Union"})


class Ref(NamedTuple):
    """`name` is the reference, "" if the expression has none.

    `alias` is the local variable that holds the object, as in `items = self.items; items.append(x)`.
    An object is `owned` if this function has just made it: no other thread can know of it yet. It is `common`
    if it is found through a global name, as an attribute of a class: all threads have the same.
    """

    name: str
    alias: str = ""
    owned: bool = False
    common: bool = False

    def dot(self, attribute: str) -> Ref:
        return self.inner(f".{attribute}")

    def inner(self, more: str) -> Ref:
        """The reference of a part: `.name`, or `[]` for an item."""
        return Ref(self.name + more, self.alias, self.owned, self.common) if self.name else NOTHING


NOTHING = Ref("")


class References:
    """Resolves names in one function; `values` is what each of its local variables is known to hold."""

    def __init__(self, module: Module, scope: Scope, function: Function, outer: References | None) -> None:
        self.module = module
        self.scope = scope
        self.function = function
        self.outer = outer
        self.values: dict[str, Ref] = {}

    def resolve(self, node: ast.expr) -> Ref:
        """The reference of an expression, without a note that it is used."""
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value)
            return base._replace(common=True) if node.attr == "__class__" else base.dot(node.attr)
        if isinstance(node, ast.Subscript):
            return self.resolve(node.value).inner("[]")
        if isinstance(node, ast.Call):
            return self.made_by(node)
        if isinstance(node, ast.Await | ast.NamedExpr):
            return self.resolve(node.value)
        return NOTHING

    def made_by(self, call: ast.Call) -> Ref:
        """What a call makes: `super()`, `type(self)`, or an object of a class."""
        if isinstance(call.func, ast.Name) and call.func.id in ("super", "type", "cast"):
            if call.func.id == "super":
                return Ref(f"{self.owner()}.<super>")
            if call.func.id == "type" and len(call.args) == 1:
                return self.resolve(call.args[0])._replace(common=True)
            if call.func.id == "cast" and len(call.args) == 2:
                return self.resolve(call.args[1])
        function = self.resolve(call.func)
        return Ref(f"{function.name}()", owned=True) if function.name else NOTHING

    def owner(self) -> str:
        """The class whose method this function is, or stands in."""
        here: References | None = self
        while here is not None and not here.function.owner:
            here = here.outer
        return here.function.owner if here is not None else ""

    def named(self, name: str) -> Ref:
        if name in self.values:
            return self.values[name]
        home = self.scope.home(name)
        if home is None:
            return Ref(f"builtins.{name}")
        if home.parent is None:
            return Ref(self.module.imports.get(name) or f"{self.module.name}.{name}", common=True)
        here: References | None = self
        while here is not None and here.scope is not home:
            here = here.outer
        if here is None:
            return NOTHING
        return here.values.get(name) or here.local(name)

    def local(self, name: str) -> Ref:
        if self.function.name == "<class>":
            return Ref(f"{self.function.owner}.{name}")
        return Ref(f"{self.function.ref}.<locals>.{name}")

    def annotated(self, node: ast.expr | None) -> str:
        """The reference of the type that an annotation names; "" if it names none, or several."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return ""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [side for side in (node.left, node.right) if not is_none(side)]
            return self.annotated(sides[0]) if len(sides) == 1 else ""
        if isinstance(node, ast.Subscript):
            base = node.value
            if (base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")) in WRAPPERS:
                inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
                return self.annotated(inner)
            return self.annotated(base)
        if isinstance(node, ast.Name | ast.Attribute):
            return self.resolve(node).name
        return ""


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def key_text(node: ast.expr) -> str:
    """The source of a key, alike for keys that are written alike."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant):
        return repr(node.value)
    return ast.unparse(node)
