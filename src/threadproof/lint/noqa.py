"""Comments that suppress: `# noqa: CM101`, as ruff and flake8 have it, and `# lint: ignore[CM101] reason`.

The second form is that of all tools of threadproof, and `findings.suppress` carries it out. A bare `# noqa`
covers every rule. A comment stands on the line that the finding names, or on any other line of the same
statement. `# lint: ignore-file reason` covers the whole file.
"""

from __future__ import annotations

import linecache
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from threadproof.findings import Finding, Place, Severity, Suppressed
from threadproof.findings import Rule as FindingRule

CODE = r"CM\d+[a-z]?"
NOQA = re.compile(
    r"#\s*noqa\b(?P<list>\s*:\s*(?P<codes>[A-Z]+[0-9]+[a-z]?(?:[\s,]+[A-Z]+[0-9]+[a-z]?)*))?", re.IGNORECASE
)
WHOLE_FILE = re.compile(r"#\s*lint:\s*ignore-file\b(?:\[(?P<codes>[^\]]*)\])?\s*(?P<reason>.*)")

UNUSED = FindingRule(
    name="CM001",
    severity=Severity.NOTE,
    message="unused-suppression: {comment} suppresses nothing",
    fix="remove it",
    explanation="A suppression whose finding has gone hides the next one.",
    tags=["maintainability"],
)


@dataclass(slots=True)
class Comments:
    """The `noqa` comments of one file; `used` are the lines of those that covered something."""

    path: str
    lines: Sequence[str]
    used: set[tuple[int, str]] = field(default_factory=set)
    whole: Suppressed | None = None
    whole_codes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, path: str) -> Comments:
        made = cls(path, linecache.getlines(path))
        for number, line in enumerate(made.lines, 1):
            match = WHOLE_FILE.search(line) if "ignore-file" in line else None
            if match:
                made.whole = Suppressed(f"{path}:{number}", match["reason"].strip(), in_source=True)
                made.whole_codes = frozenset(re.findall(CODE, match["codes"] or ""))
        return made

    def suppressing(self, finding: Finding, last_line: int) -> Suppressed | None:
        """The comment that covers a finding, on any line from the finding's to the end of its statement."""
        if self.whole and (not self.whole_codes or finding.rule in self.whole_codes):
            return self.whole
        for number in range(finding.place.line, max(last_line, finding.place.line) + 1):
            if number > len(self.lines) or "noqa" not in self.lines[number - 1].lower():
                continue
            match = NOQA.search(self.lines[number - 1])
            if match and (not match["list"] or finding.rule in codes_in(match)):
                self.used.add((number, finding.rule if match["list"] else ""))
                return Suppressed(f"{self.path}:{number}", "", in_source=True)
        return None

    def unused(self, running: Iterable[str]) -> list[Finding]:
        """The comments with codes of running rules that covered nothing, as findings."""
        codes = set(running)
        found = []
        listed = [(number, line) for number, line in enumerate(self.lines, 1) if "CM" in line]
        places = comment_places(self.lines) if any("noqa" in line.lower() for _, line in listed) else set()
        for number, line in listed:
            match = NOQA.search(line)
            if match and not any(place == number and match.start() >= column for place, column in places):
                continue  # in a string
            idle = (
                [code for code in codes_in(match) if code in codes and (number, code) not in self.used]
                if match
                else []
            )
            if idle and match:
                comment = f"`# noqa: {', '.join(idle)}`"
                place = Place(self.path, number, column=match.start(), end_column=match.end())
                found.append(UNUSED.finding(place, comment=comment))
        return found


def comment_places(lines: Sequence[str]) -> set[tuple[int, int]]:
    """The line and column of each comment; those up to the first error if the file has one."""
    found: set[tuple[int, int]] = set()
    try:
        for token in tokenize.generate_tokens(iter(lines).__next__):
            if token.type == tokenize.COMMENT:
                found.add(token.start)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found


def codes_in(match: re.Match[str]) -> list[str]:
    """The codes of this linter in a comment."""
    return re.findall(CODE, match["codes"] or "")


def apply(
    findings: Iterable[Finding], ends: Mapping[tuple[str, int], int]
) -> tuple[list[Finding], dict[str, Comments]]:
    """Mark the findings that comments suppress; `ends` has the last line of the statement at (path, line)."""
    comments: dict[str, Comments] = {}
    marked = []
    for finding in findings:
        path = finding.place.file
        if path not in comments:
            comments[path] = Comments.of(path)
        by = comments[path].suppressing(finding, ends.get((path, finding.place.line), finding.place.line))
        marked.append(replace(finding, suppressed=by) if by and not finding.suppressed else finding)
    return marked, comments


def added(line: str, codes: Sequence[str]) -> str:
    """A line of source with `# noqa: CODES` at its end, joined with the comment that it has."""
    text = line.rstrip("\r\n")
    ending = line[len(text) :]
    match = NOQA.search(text)
    if match and match["list"]:
        every = [*re.findall(r"[A-Za-z]+\d+[a-z]?", match["codes"]), *codes]
        listed = ", ".join(dict.fromkeys(every))
        return f"{text[: match.start()]}# noqa: {listed}{text[match.end() :]}{ending}"
    if match:
        return line
    return f"{text.rstrip()}  # noqa: {', '.join(codes)}{ending}"
