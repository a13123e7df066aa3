"""Suppressions: findings that are known and accepted, named by a comment, by a file, or by a baseline.

A comment such as `# race: ignore[lost-update] why` stands on the line of one of the finding's main places, or
alone on the line above. Without brackets it covers every rule.

A file of suppressions has one on each line, such as `rule:lost-update variable:Page.*  # why`. All its
conditions must hold. A condition is a name of CONDITIONS, a colon, and a pattern as of the shell.

A baseline lists the findings of earlier runs (see baseline.py).

A suppressed finding has the place and the reason of its suppression. `unused()` lists the suppressions that
covered nothing.
"""

from __future__ import annotations

import linecache
import re
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from threadproof.findings.baseline import Baseline
from threadproof.findings.baseline import SuppressionError as SuppressionError
from threadproof.findings.model import Finding, Suppressed

CONDITIONS: dict[str, Callable[[Finding], Iterable[str]]] = {
    "rule": lambda finding: [finding.rule],
    "variable": lambda finding: [finding.subject],
    "function": lambda finding: [place.function for place in finding.places()],
    "caller": lambda finding: [p.function for step in finding.steps if step.main for p in step.stack],
    "file": lambda finding: [name for p in finding.places() for name in (p.path(), p.file)],
    "fingerprint": lambda finding: [finding.fingerprint()],
}
FORMER = {"class": "rule", "kind": "rule"}  # names of conditions that older files of suppressions use


# --- files of suppressions ---


@dataclass(frozen=True)
class Suppression:
    """Covers the findings for which each (condition, pattern) holds."""

    where: str
    reason: str
    conditions: Sequence[tuple[str, str]]

    def covers(self, finding: Finding) -> bool:
        return all(
            any(fnmatchcase(value, pattern) for value in CONDITIONS[name](finding))
            for name, pattern in self.conditions
        )

    def could_cover(self, running: Collection[str] | None) -> bool:
        """Whether rules ran to which it applies."""
        patterns = [pattern for name, pattern in self.conditions if name == "rule"]
        return running is None or all(
            any(fnmatchcase(rule, pattern) for rule in running) for pattern in patterns
        )


def read_suppressions(path: str, rules: Collection[str]) -> list[Suppression]:
    """The suppressions of a file, given the names of all rules; SuppressionError names the bad line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SuppressionError(f"cannot read the suppressions {path!r}: {error}") from None
    found = (suppression_of(line, f"{path}:{number}", rules) for number, line in enumerate(lines, 1))
    return [suppression for suppression in found if suppression.conditions]


def suppression_of(line: str, where: str, rules: Collection[str]) -> Suppression:
    """The suppression that a line has; without conditions if the line is empty or a comment."""
    text, _, reason = line.partition("#")
    return Suppression(where, reason.strip(), [condition_of(word, where, rules) for word in text.split()])


def condition_of(word: str, where: str, rules: Collection[str]) -> tuple[str, str]:
    written, _, pattern = word.partition(":")
    name = FORMER.get(written, written)
    if name not in CONDITIONS or not pattern:
        known = ", ".join(CONDITIONS)
        raise SuppressionError(
            f"{where}: {written!r} is not a condition; write one of {known}, a colon and a pattern"
        )
    if name == "rule" and not any(fnmatchcase(known, pattern) for known in rules):
        raise SuppressionError(f"{where}: there is no rule {pattern!r}, but {', '.join(sorted(rules))}")
    return name, pattern


# --- comments ---


@dataclass(frozen=True)
class Comment:
    """`# race: ignore[rules] reason` in a source file; it applies to the findings on `lines`."""

    file: str
    line: int
    lines: Sequence[int]
    rules: frozenset[str]
    reason: str

    def covers(self, finding: Finding) -> bool:
        here = any(place.file == self.file and place.line in self.lines for place in finding.places())
        return here and (not self.rules or finding.rule in self.rules)

    def could_cover(self, running: Collection[str] | None, rules: Collection[str]) -> bool:
        """Whether one of its rules ran; if it is for every rule, whether all did."""
        if running is None:
            return True
        return bool(self.rules & set(running)) if self.rules else set(rules) <= set(running)


def comments_in(file: str, tool: str) -> Iterator[Comment]:
    """The comments of a file that are for the tool; none where it cannot be read as Python."""
    form = re.compile(rf"#\s*{tool}:\s*ignore\b(?:\[([^\]]*)\])?\s*(.*)", re.IGNORECASE)
    source = linecache.getlines(file)
    if not any(map(form.search, source)):
        return  # most files have none, and tokenizing is the slow part
    lines = iter(source)
    try:
        for token in tokenize.generate_tokens(lambda: next(lines, "")):
            if token.type == tokenize.COMMENT and (match := form.search(token.string)):
                number = token.start[0]
                alone = not token.line[: token.start[1]].strip()
                rules = frozenset(filter(None, re.split(r"[\s,]+", match[1] or "")))
                yield Comment(file, number, [number, number + 1] if alone else [number], rules, match[2])
    except (tokenize.TokenError, SyntaxError):
        return


# --- all of them ---


class Suppressions:
    """Everything that suppresses findings of one tool; records what was used."""

    def __init__(
        self,
        tool: str,
        listed: Sequence[Suppression] = (),
        baseline: str = "",
        rules: Collection[str] = (),
    ) -> None:
        """`listed` are those of files, `baseline` is the path of one, or empty, `rules` are all there are."""
        self.tool = tool
        self.listed = listed
        self.baseline = Baseline(baseline)
        self.rules = rules
        self.used: set[object] = set()

    def apply(self, findings: Iterable[Finding], more: Sequence[Suppression] = ()) -> list[Finding]:
        """The same findings, each marked if it is suppressed; `more` applies to this call only."""
        return [replace(finding, suppressed=self.suppressed(finding, more)) for finding in findings]

    def suppressed(self, finding: Finding, more: Sequence[Suppression] = ()) -> Suppressed | None:
        """The suppression of the finding: a comment, else a file, else the baseline."""
        # also where a comment suppresses the finding as well: the baseline's entry is used
        known = self.baseline.covers(finding)
        for place in finding.places():
            for comment in comments_in(place.file, self.tool):
                if comment.covers(finding):
                    self.used.add((comment.file, comment.line))
                    return Suppressed(f"{place.path()}:{comment.line}", comment.reason, in_source=True)
        for suppression in (*self.listed, *more):
            if suppression.covers(finding):
                self.used.add(suppression.where)
                return Suppressed(suppression.where, suppression.reason)
        return Suppressed(self.baseline.path, f"{finding.fingerprint()} was there before") if known else None

    def unused(self, files: Iterable[str], running: Collection[str] | None = None) -> list[str]:
        """The suppressions that covered nothing, a line each, and comments with rules that do not exist.

        Comments are looked for in these files. Where not all rules ran, those for others are not judged.
        """
        comments = [comment for file in sorted(files) for comment in comments_in(file, self.tool)]
        rows = [row for comment in comments for row in self.complaints(comment, running)]
        rows += [
            f"{each.where}: the line suppressed nothing"
            for each in self.listed
            if each.where not in self.used and each.could_cover(running)
        ]
        gone = self.baseline.gone(running)
        return [
            *rows,
            *([f"{self.baseline.path}: {gone} of its findings did not come again"] if gone else []),
        ]

    def complaints(self, comment: Comment, running: Collection[str] | None) -> Iterator[str]:
        where = f"{comment.file}:{comment.line}"
        unknown = sorted(comment.rules - set(self.rules)) if self.rules else []
        for name in unknown:
            close = get_close_matches(name, self.rules, n=1)
            hint = f"; is it {close[0]}?" if close else ""
            yield f"{where}: warning: there is no rule {name!r}{hint}"
        used = (comment.file, comment.line) in self.used
        if (
            not used
            and len(unknown) < max(len(comment.rules), 1)
            and comment.could_cover(running, self.rules)
        ):
            yield f"{where}: the comment suppressed nothing"
