"""From paths to reports: read, parse, make facts, join them, and let the rules look."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from threadproof.lint.facts.build import build
from threadproof.lint.facts.model import Module
from threadproof.lint.facts.slim import slim
from threadproof.lint.knowledge.signs import signs_in
from threadproof.lint.rule import Part, Report, Rule
from threadproof.lint.source import Source
from threadproof.lint.tree import World, join


@dataclass(slots=True)
class Parsed:
    """What one file gives: its facts, and the reports of the rules that need nothing else."""

    path: str
    module: Module | None
    reports: list[Report] = field(default_factory=list)
    error: str = ""


def parse(path: str, text: str, name: str, rules: Sequence[Rule]) -> Parsed:
    """Take one file apart; a syntax error becomes the `error` of the result."""
    try:
        tree = ast.parse(text, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Parsed(path, None, error=str(error))
    module = build(tree, text.splitlines(), name, path, signs_in(text))
    source = Source(path, text, tree, module)
    reports = []
    for rule in rules:
        if rule.check_file is not None and any(word in text for word in rule.words):
            reports += [filled(report, rule, path) for report in rule.check_file(source)]
    slim(module)
    return Parsed(path, module, reports)


def filled(report: Report, rule: Rule, path: str) -> Report:
    report.code = rule.code
    report.path = report.path or path
    return report


def check_tree(world: World, module: Module, rules: Iterable[Rule]) -> Iterator[Report]:
    """What the rules that need all files report of one of them."""
    part = Part(module.name, module.path, list(module.functions.values()))
    for rule in rules:
        if rule.check_tree is not None:
            for report in rule.check_tree(world, part):
                yield filled(report, rule, module.path)


def lint(files: Iterable[tuple[str, str, str]], rules: Sequence[Rule]) -> list[Report]:
    """The reports for files given as (path, module name, text)."""
    parsed = [parse(path, text, name, rules) for path, name, text in files]
    world = join(one.module for one in parsed if one.module is not None)
    reports = [report for one in parsed for report in one.reports]
    for module in world.tree.modules.values():
        reports += check_tree(world, module, rules)
    return sorted(reports, key=lambda report: (report.path, report.span, report.code))


__all__ = ["Parsed", "check_tree", "hashlib", "join", "lint", "parse"]
