"""Which rules run, and which of their reports are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from threadproof.findings.options import OptionError
from threadproof.lint.rule import LintRule, Report
from threadproof.lint.rules import all_rules


class Selection:
    """The rules chosen by the options, and the least confidence of a report."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """OptionError for a code that no rule has."""
        self.rules = all_rules()
        self.codes = self.chosen(options)
        self.least: float | None = options["min_confidence"]
        self.per_file = [(pattern, self.expand(codes)) for pattern, codes in options["per_file_ignores"]]

    def chosen(self, options: Mapping[str, Any]) -> set[str]:
        groups = {"default", "preview"} if options["preview"] else {"default"}
        codes = {code for code, rule in self.rules.items() if rule.group in groups}
        if options["select"] is not None:
            codes = self.expand(options["select"])
        codes |= self.expand(options["extend_select"])
        return codes - self.expand(options["ignore"]) - self.expand(options["extend_ignore"])

    def expand(self, words: Iterable[str]) -> set[str]:
        """The codes that words stand for: a code, a beginning of codes, a rule's name, or ALL."""
        found: set[str] = set()
        for word in words:
            codes = {code for code, rule in self.rules.items() if code.startswith(word) or rule.name == word}
            if word == "ALL":
                codes = set(self.rules)
            if not codes:
                raise OptionError(
                    f"there is no rule {word!r}{self.hint(word)}; `threadproof lint --rules` lists them"
                )
            found |= codes
        return found

    def hint(self, word: str) -> str:
        names = [*self.rules, *(rule.name for rule in self.rules.values())]
        close = get_close_matches(word, names, n=1)
        return f" (is it {close[0]}?)" if close else ""

    def shown(self, reports: Iterable[Report]) -> list[Report]:
        """The reports that are shown; of those about one variable at one line, the surest."""
        chosen = [report for report in reports if self.shows(report, report.path)]
        best: dict[tuple[str, int, str], Report] = {}
        for number, report in enumerate(chosen):
            place = (report.path, report.span.line, report.subject or str(number))
            if place not in best or self.rank(report) < self.rank(best[place]):
                best[place] = report
        return list(best.values())

    def rank(self, report: Report) -> tuple[bool, float]:
        """Rules that are on by default come first, then the surest reports."""
        return self.rules[report.code].group != "default", -report.confidence

    def shows(self, report: Report, path: str) -> bool:
        """Whether a report is of a chosen rule, sure enough, and not ignored for its file."""
        if report.code not in self.codes or report.confidence < self.least_for(self.rules[report.code]):
            return False
        return not any(report.code in codes and fits(path, pattern) for pattern, codes in self.per_file)

    def least_for(self, rule: LintRule) -> float:
        return rule.min_confidence if self.least is None else self.least


def fits(path: str, pattern: str) -> bool:
    """Whether a pattern is the path, the file's name, or the end of the path."""
    path = path.replace("\\", "/")
    return any(
        fnmatchcase(path, form) for form in (pattern, f"*/{pattern}", f"{pattern}/*", f"*/{pattern}/*")
    )


def sorted_rules() -> Sequence[LintRule]:
    return list(all_rules().values())
