"""Suppressions: findings that are known and accepted, named by a comment, by a file, or by a baseline.

A comment such as `# race: ignore[lost-update] why` stands on the line of one of the finding's main places, or
alone on the line above. Without brackets it covers every rule.

A file of suppressions has one on each line, such as `rule:lost-update variable:Page.*  # why`. All its
conditions must hold. A condition is a name of CONDITIONS, a colon, and a pattern as of the shell.

A baseline lists the findings of an earlier run. It covers these unless their severity has risen.

A suppressed finding has the place and the reason of its suppression. `unused()` lists the suppressions that
covered nothing.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from threadproof.findings.model import Finding, Severity, Suppressed

CONDITIONS: dict[str, Callable[[Finding], Iterable[str]]] = {
    "rule": lambda finding: [finding.rule],
    "variable": lambda finding: [finding.subject],
    "function": lambda finding: [place.function for place in finding.places()],
    "caller": lambda finding: [p.function for step in finding.steps if step.main for p in step.stack],
    "file": lambda finding: [name for p in finding.places() for name in (p.path(), p.file)],
    "fingerprint": lambda finding: [finding.fingerprint()],
}
FORMER = {"class": "rule", "kind": "rule"}  # names of conditions that older files of suppressions use


class SuppressionError(ValueError):
    """A file of suppressions or a baseline that cannot be read; the message is one line, with the place."""


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
    rules: Collection[str]
    reason: str

    def covers(self, finding: Finding) -> bool:
        here = any(place.file == self.file and place.line in self.lines for place in finding.places())
        return here and (not self.rules or finding.rule in self.rules)


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
                rules = {name for name in re.split(r"[\s,]+", match[1] or "") if name}
                yield Comment(file, number, [number, number + 1] if alone else [number], rules, match[2])
    except (tokenize.TokenError, SyntaxError):
        return


# --- baselines ---


def write_baseline(
    findings: Sequence[Finding], path: str, before: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> None:
    """List the findings by fingerprint; of two with the same one, the worse.

    What the baseline `before` and the file itself list stays: another run of the same program has another
    schedule, and finds other things.
    """
    known: dict[str, Mapping[str, str]] = {**before, **listed_in(path)}
    for finding in sorted(findings, key=lambda finding: finding.severity):
        fingerprint = finding.fingerprint()
        if fingerprint in known and Severity[known[fingerprint]["severity"].upper()] > finding.severity:
            continue
        known[fingerprint] = {
            "severity": str(finding.severity),
            "rule": finding.rule,
            "message": finding.message,
            "place": str(finding.place),
        }
    Path(path).write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")


def listed_in(path: str) -> dict[str, dict[str, str]]:
    """The entries of a baseline that is there already."""
    return read_entries(path) if os.path.exists(path) and os.path.getsize(path) else {}


def read_entries(path: str) -> dict[str, dict[str, str]]:
    """The entries of a baseline by fingerprint; each has a severity."""
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        for entry in listed.values():
            Severity[entry["severity"].upper()]
        return dict(listed)
    except OSError as error:
        raise SuppressionError(f"cannot read the baseline {path!r}: {error.strerror}") from None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise SuppressionError(
            f"{path!r} is not a baseline ({error}); make one with --write-baseline"
        ) from None


def read_baseline(path: str) -> dict[str, Severity]:
    """{fingerprint: severity}."""
    return {name: Severity[entry["severity"].upper()] for name, entry in read_entries(path).items()}


# --- all of them ---


class Suppressions:
    """Everything that suppresses findings of one tool; records what was used."""

    def __init__(self, tool: str, listed: Sequence[Suppression] = (), baseline: str = "") -> None:
        """`listed` are those of files, `baseline` is the path of one, or empty."""
        self.tool = tool
        self.listed = listed
        self.baseline_file = baseline
        self.baseline_entries = read_entries(baseline) if baseline else {}
        self.baseline = {
            name: Severity[entry["severity"].upper()] for name, entry in self.baseline_entries.items()
        }
        self.used: set[object] = set()

    def apply(self, findings: Iterable[Finding], more: Sequence[Suppression] = ()) -> list[Finding]:
        """The same findings, each marked if it is suppressed; `more` applies to this call only."""
        return [replace(finding, suppressed=self.suppressed(finding, more)) for finding in findings]

    def suppressed(self, finding: Finding, more: Sequence[Suppression] = ()) -> Suppressed | None:
        """The suppression of the finding: a comment, else a file, else the baseline."""
        fingerprint = finding.fingerprint()
        known = finding.severity <= self.baseline.get(fingerprint, Severity.OFF)
        if known:  # the baseline's entry is used, even where a comment suppresses the finding as well
            self.used.add(fingerprint)
        for place in finding.places():
            for comment in comments_in(place.file, self.tool):
                if comment.covers(finding):
                    self.used.add((comment.file, comment.line))
                    return Suppressed(f"{place.path()}:{comment.line}", comment.reason, in_source=True)
        for suppression in (*self.listed, *more):
            if suppression.covers(finding):
                self.used.add(suppression.where)
                return Suppressed(suppression.where, suppression.reason)
        return Suppressed(self.baseline_file, f"{fingerprint} was there before") if known else None

    def unused(self, files: Iterable[str]) -> list[str]:
        """The suppressions that covered nothing, a line each; comments are looked for in these files."""
        comments = [comment for file in sorted(files) for comment in comments_in(file, self.tool)]
        rows = [
            f"{comment.file}:{comment.line}: the comment suppressed nothing"
            for comment in comments
            if (comment.file, comment.line) not in self.used
        ]
        rows += [
            f"{each.where}: the line suppressed nothing"
            for each in self.listed
            if each.where not in self.used
        ]
        gone = len(self.baseline.keys() - self.used)
        return [
            *rows,
            *([f"{self.baseline_file}: {gone} of its findings did not come again"] if gone else []),
        ]
