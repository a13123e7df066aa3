"""The linter's options: of the command line, THREADPROOF_LINT, and [tool.threadproof.lint].

Names are ruff's where ruff has the option. Lists are separated by commas; in pyproject.toml they are lists,
and per-file-ignores is a table. A list on the command line replaces the one of pyproject.toml, but for
`extend` options.
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from threadproof.findings.model import Severity
from threadproof.findings.options import Option, Options, below, project_table, severity, truth

FORMATS = ("text", "concise", "json", "sarif", "github", "gitlab", "junit")


def words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def ignores(text: str) -> list[tuple[str, list[str]]]:
    """`tests/*:CM101,CM103;docs/*:CM2`: patterns of paths, and codes."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        pattern, colon, codes = entry.rpartition(":")
        if not colon or not words(codes):
            raise ArgumentTypeError(f"{entry!r} is not PATTERN:CODES")
        found.append((pattern, words(codes)))
    return found


def output_format(text: str) -> str:
    if text not in FORMATS:
        raise ArgumentTypeError(f"{text!r} is no output format; write {', '.join(FORMATS)}")
    return text


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def megabytes(text: str) -> int:
    try:
        return int(float(text) * (1 << 20))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number of megabytes") from None


def flag(name: str, meaning: str) -> Option:
    return Option(name, meaning, truth, default=False)


OWN = (
    Option(
        "severity",
        "findings at least this bad set the exit code: error, warning or note (default: note)",
        severity,
        Severity.NOTE,
        "LEVEL",
    ),
    Option(
        "select", "run these rules only: codes or their beginnings, ALL for every rule", words, None, "CODES"
    ),
    Option("extend_select", "run these rules too", words, (), "CODES"),
    Option("ignore", "do not run these rules", words, (), "CODES"),
    Option("extend_ignore", "do not run these rules either", words, (), "CODES"),
    Option(
        "per_file_ignores",
        "rules not to run on some files: PATTERN:CODES, separated by semicolons",
        ignores,
        (),
        "LIST",
    ),
    flag("preview", "also run the rules that are not yet precise enough to be on by default"),
    Option(
        "min_confidence",
        "report findings of which a rule is at least this sure, 0 to 1 (default: each rule's own)",
        share,
        None,
        "SHARE",
    ),
    Option(
        "exclude",
        "do not look into these folders or files: patterns, separated by commas",
        words,
        (),
        "PATTERNS",
    ),
    Option("extend_exclude", "nor into these", words, (), "PATTERNS"),
    Option(
        "output_format",
        f"how the report is printed: {', '.join(FORMATS)} (default: text)",
        output_format,
        "text",
        "FORMAT",
    ),
    flag("statistics", "print the number of findings for each rule instead"),
    flag("fix", "make the safe fixes"),
    flag("unsafe_fixes", "make fixes that may change what the program does, too"),
    flag("diff", "print the fixes as a diff, and change no file; the exit code is 1 if there is any"),
    flag("add_noqa", "add `# noqa: CODE` to every line with a finding"),
    Option(
        "diff_base",
        "report only what lines changed since this revision of git have introduced",
        str,
        "",
        "REV",
    ),
    flag("watch", "lint again whenever a file changes"),
    Option("jobs", "the number of processes (default: one for each processor)", number, 0, "N"),
    flag("no_cache", "neither read nor write the cache"),
    Option(
        "cache_dir", "where the cache is (default: .threadproof_cache/lint)", str, "", "FOLDER", located=below
    ),
    Option(
        "max_file_size", "skip files larger than this many megabytes (default: 2)", megabytes, 2 << 20, "MB"
    ),
    Option(
        "with_races",
        "findings of the race detector, as its --json wrote them: what it confirmed is certain",
        str,
        "",
        "FILE",
    ),
)


class LintOptions(Options):
    """As Options, with lists and tables of TOML in place of texts with commas."""

    def set_from_project(self, values: dict[str, Any], folder: Path) -> None:
        path, table = project_table(folder, self.tool)
        source = f"{os.path.relpath(path)}: [tool.threadproof.{self.tool}]"
        for name, value in table.items():
            self.set(values, name.replace("-", "_"), as_text(value), source, path.parent)


def as_text(value: object) -> object:
    """A list or table of strings as the text that stands for it on the command line."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, dict) and all(isinstance(codes, list) for codes in value.values()):
        return ";".join(f"{pattern}:{','.join(map(str, codes))}" for pattern, codes in value.items())
    if isinstance(value, float):
        return str(value)
    return value


OPTIONS = LintOptions("lint", OWN)
