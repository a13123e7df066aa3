"""Fixes: which findings have one, and the proof that a fixed file parses and is clean."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from threadproof.lint.engine import lint
from threadproof.lint.facts.model import Module
from threadproof.lint.files import lines_of
from threadproof.lint.fixes import Edit, apply
from threadproof.lint.rule import Report
from threadproof.lint.rules import all_rules
from threadproof.lint.source import Source


@dataclass(slots=True)
class Fixed:
    """A file with its fixes: `text` is the new text, `made` the fixed reports, `left` the others."""

    path: str
    before: str
    text: str
    made: list[Report] = field(default_factory=list)

    def diff(self) -> str:
        lines = difflib.unified_diff(lines_of(self.before), lines_of(self.text), self.path, self.path)
        return "".join(lines)


def fix_file(path: str, name: str, text: str, reports: Iterable[Report], unsafe: bool = False) -> Fixed:
    """Make the fixes of one file, one by one, but for those that do not parse or leave their finding."""
    fixed = Fixed(path, text, text)
    for report in sorted(reports, key=lambda report: report.span, reverse=True):
        rule = all_rules()[report.code]
        if rule.fix is None or (rule.fix_safety != "safe" and not unsafe):
            continue
        after = apply(fixed.text, edits_for(path, name, fixed.text, report))
        if after != fixed.text and is_better(path, name, fixed.text, after, report):
            fixed.text = after
            fixed.made.append(report)
    return fixed


def edits_for(path: str, name: str, text: str, report: Report) -> Sequence[Edit]:
    """The edits of a rule's fix for one of its reports; none where it has no fix for this form."""
    rule = all_rules()[report.code]
    if rule.fix is None:
        return []
    module = Module(name, path, {}, frozenset())
    source = Source(path, text, ast.parse(text), module)
    source.module.imports.update(imports_of(source))
    return rule.fix(source, report)


def imports_of(source: Source) -> dict[str, str]:
    from threadproof.lint.facts.statements import imported

    found: dict[str, str] = {}
    statements: list[ast.Import | ast.ImportFrom] = [*source.all(ast.Import), *source.all(ast.ImportFrom)]
    for node in statements:
        found.update(imported(node, source.module.name, source.path))
    return found


def is_better(path: str, name: str, before: str, after: str, report: Report) -> bool:
    """Whether the text with a fix parses, has one finding of the rule less, and none of another rule more."""
    try:
        ast.parse(after)
    except SyntaxError:
        return False
    rules = list(all_rules().values())
    old = [one.code for one in lint([(path, name, before)], rules)]
    new = [one.code for one in lint([(path, name, after)], rules)]
    if report.code in old and new.count(report.code) >= old.count(report.code):
        return False
    return all(new.count(code) <= old.count(code) for code in set(new) - {report.code})
