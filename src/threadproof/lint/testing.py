"""A kit for tests of rules, in the style of Go's analysistest.

A case is source with `# want "regular expression"` at the end of each line that a rule shall report; a bare
`# want` takes any message, and several strings want several reports. `check` fails for each report that is
missing or not wanted:

    def test_sleeping_in_a_handler():
        check('''
            import time

            def handler():
                time.sleep(1)  # want "sleeps"
        ''', MY_RULE)

`fixed` returns a case with all fixes made, to be compared with what it should be like.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import dedent

from threadproof.lint.engine import Parsed, check_rule, ordered, parse
from threadproof.lint.fixing import fix_file
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules import all_rules
from threadproof.lint.tree import join

__all__ = ["check", "check_file", "check_files", "fixed", "reports_of", "wanted"]

WANT = re.compile(r"#\s*want\b(?P<patterns>(?:\s+\"(?:[^\"\\]|\\.)*\")*)")
PATTERN = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")


def reports_of(source: str, *rules: LintRule, path: str = "case.py") -> list[Report]:
    """What the rules, or all rules, report about a source, as sure as they are by default."""
    return reports_of_files({path: source}, *rules)


def reports_of_files(sources: dict[str, str], *rules: LintRule) -> list[Report]:
    """The same for several files that import each other: {path: source}; `a/b.py` is the module a.b."""
    chosen = rules or tuple(all_rules().values())
    parsed = [parse(path, dedent(text), name_of(path), chosen) for path, text in sources.items()]
    errors = [f"{one.path}:{one.line}: {one.error}" for one in parsed if one.error]
    assert not errors, errors
    return ordered(report for report in all_reports(parsed, chosen) if is_shown(report, chosen))


def all_reports(parsed: Sequence[Parsed], rules: Sequence[LintRule]) -> Iterable[Report]:
    for one in parsed:
        yield from one.reports
    world = join(one.module for one in parsed if one.module is not None)
    for module in world.tree.modules.values():
        for rule in rules:
            yield from check_rule(world, module, rule) if rule.check_tree else ()


def is_shown(report: Report, rules: Sequence[LintRule]) -> bool:
    rule = next(rule for rule in rules if rule.code == report.code)
    return report.confidence >= rule.min_confidence


def name_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def wanted(source: str) -> dict[int, list[str]]:
    """{line: patterns} of a case; "" is the pattern of a bare want."""
    found: dict[int, list[str]] = {}
    for number, line in enumerate(dedent(source).split("\n"), 1):
        match = WANT.search(line)
        if match:
            found[number] = PATTERN.findall(match["patterns"]) or [""]
    return found


def check(source: str, *rules: LintRule, path: str = "case.py") -> None:
    """Fail unless the rules report what the source wants, and nothing else."""
    check_files({path: source}, *rules)


def check_file(path: str | Path, *rules: LintRule) -> None:
    """The same for a case in a file."""
    check(Path(path).read_text(encoding="utf-8"), *rules, path=Path(path).name)


def check_files(sources: dict[str, str], *rules: LintRule) -> None:
    """The same for several files."""
    reports = reports_of_files(sources, *rules)
    faults = [fault for path, text in sources.items() for fault in faults_of(path, text, reports)]
    assert not faults, "\n" + "\n".join(faults)


def faults_of(path: str, source: str, reports: Sequence[Report]) -> list[str]:
    """What differs between the reports for a file and what it wants."""
    missing = wanted(source)
    faults = []
    for report in (report for report in reports if report.path == path):
        patterns = missing.get(report.span.line, [])
        match = next((pattern for pattern in patterns if re.search(pattern, report.message)), None)
        if match is None:
            faults.append(f"{path}:{report.span.line}: not wanted: {report.code} {report.message}")
        else:
            patterns.remove(match)
    for line, patterns in missing.items():
        counted = Counter(patterns)
        faults += [f"{path}:{line}: nobody reports {pattern!r}" for pattern in counted]
    return faults


def fixed(source: str, *rules: LintRule, unsafe: bool = True, path: str = "case.py") -> str:
    """The source with the fixes made. Each has been proved to parse, and to leave no finding of its rule."""
    text = dedent(source)
    return fix_file(path, name_of(path), text, reports_of(text, *rules, path=path), unsafe=unsafe).text
