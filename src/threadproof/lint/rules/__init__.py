"""The rules, a file each. A new rule is a new file here with a value called RULE, and nothing else.

Rules of other packages are found by the entry point group `threadproof.lint.rules`, each naming a LintRule.
"""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from inspect import cleandoc

from threadproof.lint.rule import LintRule

ENTRY_POINTS = "threadproof.lint.rules"


@cache
def all_rules() -> dict[str, LintRule]:
    """Every rule by its code, in the order of the codes."""
    found = [own_rule(info.name) for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    found += [entry.load() for entry in entry_points(group=ENTRY_POINTS)]
    return {rule.code: rule for rule in sorted(found, key=lambda rule: rule.code)}


def own_rule(name: str) -> LintRule:
    module = import_module(f"{__name__}.{name}")
    rule: LintRule = module.RULE
    return replace(rule, page=cleandoc(module.__doc__ or ""))
