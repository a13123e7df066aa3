"""Which findings nobody wants to hear of: by a file of rules, comments in the source, or a baseline.

A rule is a line such as `class:lost-update variable:Page.*  # why that is fine`: all its conditions must
hold. Each is a name of FIELDS, a colon, and a pattern as of the shell. A comment such as
`# race: ignore[lost-update] why` stands on the line of one of the main places, or on a line of its own above;
without brackets it is for every class. A baseline is what was found before: it covers what it lists, unless
that has become worse.

Whatever suppresses says where it stands and why, and `unused()` lists what had nothing to suppress.
"""

from __future__ import annotations

import json
import linecache
import re
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from threadproof.findings import Finding, Severity, Suppressed

FIELDS: dict[str, Callable[[Finding], Iterable[str]]] = {
    "class": lambda finding: [finding.rule],
    "variable": lambda finding: [finding.subject],
    "function": lambda finding: [place.function for place in finding.places()],
    "caller": lambda finding: [p.function for step in finding.steps if step.main for p in step.stack],
    "file": lambda finding: [name for p in finding.places() for name in (p.path(), p.file)],
    "fingerprint": lambda finding: [finding.fingerprint()],
}


class SuppressionError(ValueError):
    """A file of rules or a baseline that cannot be read; the message is one line and says where and why."""


@dataclass(frozen=True)
class Rule:
    """What it covers: everything for which each (field, pattern) holds."""

    where: str
    reason: str
    conditions: Sequence[tuple[str, str]]

    def covers(self, finding: Finding) -> bool:
        return all(
            any(fnmatchcase(value, pattern) for value in FIELDS[name](finding))
            for name, pattern in self.conditions
        )


def read_rules(path: str, classes: Collection[str]) -> list[Rule]:
    """Make the rules of a file; SuppressionError names the line that is not one."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SuppressionError(f"cannot read the suppressions {path!r}: {error}") from None
    rules = (rule_of(line, f"{path}:{number}", classes) for number, line in enumerate(lines, 1))
    return [rule for rule in rules if rule.conditions]


def rule_of(line: str, where: str, classes: Collection[str]) -> Rule:
    """The rule that a line is; without conditions if it is empty or a comment."""
    text, _, reason = line.partition("#")
    conditions = [(name, pattern) for name, _, pattern in (word.partition(":") for word in text.split())]
    for name, pattern in conditions:
        if name not in FIELDS or not pattern:
            known = ", ".join(FIELDS)
            raise SuppressionError(
                f"{where}: {name!r} is no condition; write one of {known}, a colon and a pattern"
            )
        if name == "class" and not any(fnmatchcase(known, pattern) for known in classes):
            raise SuppressionError(
                f"{where}: there is no class {pattern!r}, but {', '.join(sorted(classes))}"
            )
    return Rule(where, reason.strip(), conditions)


# --- comments ---


@dataclass(frozen=True)
class Comment:
    """`# race: ignore[classes] reason` in a source file; `lines` are those it speaks of."""

    file: str
    line: int
    lines: Sequence[int]
    classes: Collection[str]
    reason: str

    def covers(self, finding: Finding) -> bool:
        here = any(place.file == self.file and place.line in self.lines for place in finding.places())
        return here and (not self.classes or finding.rule in self.classes)


def comments_in(file: str, tool: str) -> Iterator[Comment]:
    """The comments of a file that speak to the tool; none where it cannot be read as Python."""
    speaks = re.compile(rf"#\s*{tool}:\s*ignore\b(?:\[([^\]]*)\])?\s*(.*)")
    source = linecache.getlines(file)
    if not any(map(speaks.search, source)):
        return  # most files; to take them apart would be most of the work
    lines = iter(source)
    try:
        for token in tokenize.generate_tokens(lambda: next(lines, "")):
            if token.type == tokenize.COMMENT and (match := speaks.search(token.string)):
                number = token.start[0]
                alone = not token.line[: token.start[1]].strip()
                classes = {name for name in re.split(r"[\s,]+", match[1] or "") if name}
                yield Comment(file, number, [number, number + 1] if alone else [number], classes, match[2])
    except (tokenize.TokenError, SyntaxError):
        return


# --- baseline ---


def write_baseline(findings: Sequence[Finding], path: str) -> None:
    """List what there is to hear of, so that the next run is silent about it."""
    known = {
        finding.fingerprint(): {
            "severity": str(finding.severity),
            "class": finding.rule,
            "message": finding.message,
            "place": str(finding.place),
        }
        for finding in sorted(findings, key=lambda finding: finding.severity)
    }
    Path(path).write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")


def read_baseline(path: str) -> dict[str, Severity]:
    """{fingerprint: how bad it was}."""
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        return {fingerprint: Severity[entry["severity"].upper()] for fingerprint, entry in listed.items()}
    except OSError as error:
        raise SuppressionError(f"cannot read the baseline {path!r}: {error.strerror}") from None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise SuppressionError(f"{path!r} is no baseline ({error}); make one with --write-baseline") from None


# --- all of them ---


class Suppressions:
    """All that suppresses findings of one tool; remembers what was used."""

    def __init__(self, tool: str, rules: Sequence[Rule] = (), baseline: str = "") -> None:
        self.tool = tool
        self.rules = rules
        self.baseline_file = baseline
        self.baseline = read_baseline(baseline) if baseline else {}
        self.used: set[object] = set()

    def apply(self, findings: Iterable[Finding], more: Sequence[Rule] = ()) -> list[Finding]:
        """Make the same findings, each with who suppresses it, if anybody; `more` rules hold this once."""
        return [replace(finding, suppressed=self.suppressor(finding, more)) for finding in findings]

    def suppressor(self, finding: Finding, more: Sequence[Rule] = ()) -> Suppressed | None:
        fingerprint = finding.fingerprint()
        known = finding.severity <= self.baseline.get(fingerprint, Severity.OFF)
        if known:  # it has come again, also where somebody else suppresses it
            self.used.add(fingerprint)
        for place in finding.places():
            for comment in comments_in(place.file, self.tool):
                if comment.covers(finding):
                    self.used.add((comment.file, comment.line))
                    return Suppressed(f"{place.path()}:{comment.line}", comment.reason, in_source=True)
        for rule in (*self.rules, *more):
            if rule.covers(finding):
                self.used.add(rule.where)
                return Suppressed(rule.where, rule.reason)
        return Suppressed(self.baseline_file, f"{fingerprint} was there before") if known else None

    def unused(self, files: Iterable[str]) -> list[str]:
        """What suppressed nothing, a line each; comments are looked for in these files."""
        comments = [comment for file in sorted(files) for comment in comments_in(file, self.tool)]
        rows = [
            f"{comment.file}:{comment.line}: the comment suppressed nothing"
            for comment in comments
            if (comment.file, comment.line) not in self.used
        ]
        rows += [
            f"{rule.where}: the rule suppressed nothing" for rule in self.rules if rule.where not in self.used
        ]
        gone = len(self.baseline.keys() - self.used)
        return [
            *rows,
            *([f"{self.baseline_file}: {gone} of its findings did not come again"] if gone else []),
        ]
