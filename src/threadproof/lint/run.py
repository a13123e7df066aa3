"""One run of the linter, as its options have it: from paths to what is printed, written and returned."""

from __future__ import annotations

import ast
import json
import linecache
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TextIO

from threadproof.findings import ExitCode, Finding, Severity
from threadproof.findings.formats.concise import as_concise
from threadproof.findings.formats.github import as_github
from threadproof.findings.formats.gitlab import as_gitlab
from threadproof.findings.formats.json import as_json
from threadproof.findings.formats.junit import as_junit
from threadproof.findings.formats.sarif import as_sarif
from threadproof.findings.formats.text import as_text, style_for
from threadproof.findings.model import summary
from threadproof.findings.reporter import Reporter
from threadproof.lint import noqa
from threadproof.lint.cache import Cache
from threadproof.lint.changed import changed_lines
from threadproof.lint.engine import PACKAGES, Engine, Result, processors
from threadproof.lint.files import EXCLUDED, FileError, discover, lines_of, module_name, read, show_as
from threadproof.lint.findings import finding_of, linter
from threadproof.lint.fixing import Fixed, fix_file
from threadproof.lint.infer import proposals
from threadproof.lint.races import confirmed, read_races
from threadproof.lint.rule import Report
from threadproof.lint.selection import Selection

POLL = 0.5  # seconds between two looks at the files: soon enough for a person who has just saved one


class Shows(Protocol):
    """What shows the progress of a run; `cli.progress.Progress` does."""

    def begin(self, step: str, total: int, unit: str = "files") -> None: ...
    def show(self, done: int) -> None: ...
    def clear(self) -> None: ...


class Run:
    """A run with its options; `once()` and `watch()` return the exit code."""

    def __init__(self, options: Mapping[str, Any], out: TextIO, progress: Shows) -> None:
        """OptionError for a code that no rule has, SuppressionError for a baseline that cannot be read."""
        self.options = options
        self.out = out
        self.progress = progress
        self.selection = Selection(options)
        self.reporter = Reporter(linter(), options)
        self.changed = self.changes()
        self.races = read_races(options["with_races"]) if options["with_races"] else []
        self.texts: dict[str, str] = {}
        self.unwritten: list[tuple[str, int, str]] = []

    def take_text(self, path: str, text: str) -> None:
        """Lint this text, as that of a file called so, and nothing else."""
        self.texts[path] = text
        show_as(path, text)

    def changes(self) -> dict[str, set[int]] | None:
        base = self.options["diff_base"]
        return changed_lines(base) if base else None

    # --- what is linted ---

    def paths(self) -> list[str]:
        if self.texts:
            return list(self.texts)
        excluded = (*self.options["exclude"], *self.options["extend_exclude"])
        return list(discover(self.options["paths"], excluded))

    def lint(self) -> Result:
        paths = self.paths()
        self.progress.begin("reading and parsing", len(paths))
        jobs = self.options["jobs"] or processors()
        engine = Engine(jobs, self.cache(), self.options["max_file_size"], self.progress.show, self.texts)
        try:
            return engine.run(paths)
        finally:
            self.progress.clear()

    def cache(self) -> Cache:
        if self.options["no_cache"] or self.texts:
            return Cache("")
        return Cache(self.options["cache_dir"] or os.path.join(".threadproof_cache", "lint"))

    def reports(self, result: Result) -> list[Report]:
        """The reports of chosen rules, of changed lines, and sure enough."""
        reports = [confirmed(report, self.races) for report in result.reports]
        shown = self.selection.shown(reports)
        if self.changed is not None:
            shown = [report for report in shown if self.is_changed(report)]
        return shown

    def is_changed(self, report: Report) -> bool:
        """Whether a change touches the place of a report, or another place that belongs to it."""
        assert self.changed is not None
        places = [
            (report.path, report.span.line),
            *((one.path or report.path, one.span.line) for one in report.related),
        ]
        return any(line in self.changed.get(os.path.realpath(path), ()) for path, line in places)

    # --- what is done with it ---

    def once(self) -> int:
        """Lint, and do with the findings what the options ask for."""
        linecache.checkcache()  # of lines that an earlier run has shown
        result = self.lint()
        self.show_notebooks(result)
        reports = self.reports(result)
        if self.options["fix"] or self.options["diff"]:
            reports, code = self.fix(reports)
            if code is not None:
                return code
        findings, unused = self.marked(reports, result)
        if self.options["add_noqa"]:
            return self.add_noqa(findings)
        errors = [*self.unwritten, *result.errors]
        self.print(findings, unused, errors)
        self.reporter.save(findings)
        found = self.reporter.exit_code(findings)
        return ExitCode.USAGE if errors and not found else found

    def show_notebooks(self, result: Result) -> None:
        for path in {report.path for report in result.reports if report.path.endswith(".ipynb")}:
            try:
                show_as(path, read(path, self.options["max_file_size"])[0])
            except FileError:
                continue

    def unsuppressed(self, reports: Sequence[Report]) -> list[Report]:
        """The reports that no comment, file or baseline suppresses."""
        findings = self.reporter.apply([finding_of(report) for report in reports])
        findings, _ = noqa.apply(findings, ends_of(reports))
        return [report for report, finding in zip(reports, findings, strict=True) if not finding.suppressed]

    def marked(self, reports: Sequence[Report], result: Result) -> tuple[list[Finding], list[str]]:
        """The findings with suppressed ones marked, and the lines about suppressions that covered nothing."""
        findings = self.reporter.apply([finding_of(report) for report in reports])
        findings, comments = noqa.apply(findings, ends_of(reports))
        if self.changed is not None or self.options["with_races"]:
            return findings, []
        failed = {path for path, _, _ in result.errors}
        for path in result.files:
            if path not in comments and path not in failed and self.may_have_comment(path):
                comments[path] = noqa.Comments.of(path)
        findings += [finding for one in comments.values() for finding in one.unused(self.selection.codes)]
        findings.sort(key=lambda finding: (finding.place.file, finding.place.line))
        return findings, self.reporter.unused(
            (path for path in result.files if path in comments), self.selection.codes
        )

    def may_have_comment(self, path: str) -> bool:
        text = self.texts.get(path)
        if text is None:
            try:
                with open(path, "rb") as file:
                    data = file.read(self.options["max_file_size"])
            except OSError:
                return False
            return (b"noqa" in data and b"CM" in data) or b"lint: ignore" in data or b"lint:ignore" in data
        return "noqa" in text or "lint: ignore" in text

    def print(
        self, findings: Sequence[Finding], unused: Sequence[str], errors: Sequence[tuple[str, int, str]]
    ) -> None:
        if self.is_text():
            self.out.writelines(
                f"{path}:{line}: {text}\n" if line else f"{path}: {text}\n" for path, line, text in errors
            )
        if self.options["statistics"]:
            self.print_statistics(findings)
            return
        self.out.write(self.formatted(findings, unused))

    def is_text(self) -> bool:
        return self.options["output_format"] in ("text", "concise")

    def formatted(self, findings: Sequence[Finding], unused: Sequence[str]) -> str:
        shown = [finding for finding in findings if not finding.suppressed]
        tool, name = linter(), self.options["output_format"]
        if name == "json":
            return as_json(findings, tool) + "\n"
        if name == "sarif":
            return as_sarif(findings, tool) + "\n"
        if name == "gitlab":
            return as_gitlab(findings) + "\n"
        if name == "junit":
            return as_junit(findings, tool.title) + "\n"
        if name == "github":
            return "".join(f"{as_github(finding)}\n" for finding in shown)
        lines = [f"{tool.title}: {row}\n" for row in unused]
        if name == "concise":
            return "".join([*(f"{as_concise(self.named(finding))}\n" for finding in shown), *lines])
        style = style_for(self.out)
        texts = [f"{as_text(self.named(finding), style)}\n\n" for finding in shown]
        return "".join([*texts, *lines, f"{tool.title}: {summary(findings)}\n"])

    def named(self, finding: Finding) -> Finding:
        """A finding in a notebook has the cell in its place."""
        if not finding.place.file.endswith(".ipynb"):
            return finding
        return replace(finding, message=f"{finding.message} ({cell_of(finding)})")

    def print_statistics(self, findings: Sequence[Finding]) -> None:
        counts = Counter(finding.rule for finding in findings if not finding.suppressed)
        if self.options["output_format"] == "json":
            self.out.write(json.dumps(dict(counts.most_common()), indent=2) + "\n")
            return
        for code, count in counts.most_common():
            name = self.selection.rules[code].name if code in self.selection.rules else "unused-suppression"
            fixable = (
                "[*] "
                if code in self.selection.rules and self.selection.rules[code].fix_safety == "safe"
                else "[ ] "
            )
            self.out.write(f"{count:5}  {code:7} {fixable}{name}\n")

    # --- changes to files ---

    def fix(self, reports: Sequence[Report]) -> tuple[list[Report], int | None]:
        """Make or show the fixes; return the reports left, and an exit code if the run ends here."""
        wanted = self.unsuppressed(reports)
        fixed = [self.fix_path(path, wanted) for path in sorted({report.path for report in wanted})]
        fixed = [one for one in fixed if one.made]
        if self.options["diff"]:
            for one in fixed:
                self.out.write(one.diff())
            return [], linter().found if fixed else ExitCode.OK
        if self.texts:  # as ruff does: the fixed text goes to standard output, and nothing else
            self.out.write(fixed[0].text if fixed else next(iter(self.texts.values())))
            return [], linter().found if len(wanted) > sum(len(one.made) for one in fixed) else ExitCode.OK
        written = [one for one in fixed if self.write(one.path, one.before, one.text)]
        if not written:
            return list(reports), None
        count = sum(len(one.made) for one in written)
        if self.is_text():
            self.out.write(f"{linter().title}: fixed {count} finding{'s' * (count > 1)}\n")
        return self.reports(self.lint()), None

    def fix_path(self, path: str, reports: Sequence[Report]) -> Fixed:
        try:
            text = self.texts[path] if path in self.texts else read(path, self.options["max_file_size"])[0]
        except FileError:
            return Fixed(path, "", "")
        own = [report for report in reports if report.path == path]
        if path.endswith(".ipynb"):
            return Fixed(path, text, text)
        return fix_file(path, module_name(path, PACKAGES), text, own, unsafe=self.options["unsafe_fixes"])

    def write(self, path: str, before: str, after: str) -> bool:
        """Replace a file's text; if that fails, note the reason, and return False."""
        try:
            write_text(path, before, after)
            return True
        except (FileError, OSError) as error:
            self.unwritten.append((path, 0, str(error)))
            return False

    def add_noqa(self, findings: Sequence[Finding]) -> int:
        """Add comments for all findings that are shown."""
        wanted: dict[str, dict[int, list[str]]] = {}
        for finding in findings:
            place = finding.place
            if not (finding.suppressed or finding.rule == noqa.UNUSED.name or place.file.endswith(".ipynb")):
                wanted.setdefault(place.file, {}).setdefault(place.line, []).append(finding.rule)
        count = 0
        for path, lines in wanted.items():
            text = read(path, self.options["max_file_size"])[0]
            every = lines_of(text)
            possible = [number for number in lines if can_hold_comment(text, number)]
            for number in possible:
                every[number - 1] = noqa.added(every[number - 1], sorted(set(lines[number])))
            if self.write(path, text, "".join(every)):
                count += len(possible)
        self.out.write(f"{linter().title}: added {count} noqa comment{'s' * (count != 1)}\n")
        self.out.writelines(f"{path}: {text}\n" for path, _, text in self.unwritten)
        return ExitCode.USAGE if self.unwritten else ExitCode.OK

    # --- other things to do ---

    def infer(self) -> int:
        self.out.write(
            "".join(f"{line}\n" for line in proposals(self.paths(), self.options["max_file_size"]))
        )
        return ExitCode.OK

    def watch(self) -> int:
        """Lint, and again whenever a file changes, until interrupted."""
        before: dict[str, float] = {}
        while True:
            now = {path: changed_at(path) for path in self.paths()}
            if now != before:
                before = now
                self.changed = self.changes()
                self.out.write("\x1b[2J\x1b[H" if self.out.isatty() else "")
                self.once()
                self.out.flush()
            time.sleep(POLL)


def ends_of(reports: Sequence[Report]) -> dict[tuple[str, int], int]:
    """{(path, line): last line} of the statements reported."""
    return {(report.path, report.span.line): report.span.end_line for report in reports}


def cell_of(finding: Finding) -> str:
    from threadproof.lint.notebooks import code_of, place_in

    with open(finding.place.file, encoding="utf-8") as file:
        _, begins = code_of(file.read())
    cell, line = place_in(begins, finding.place.line)
    return f"cell {cell}, line {line}"


def write_text(path: str, before: str, after: str) -> None:
    """Replace a file's text, with its encoding and line ends, unless it has changed meanwhile."""
    import tokenize

    with open(path, "rb") as file:
        data = file.read()
        file.seek(0)
        encoding, _ = tokenize.detect_encoding(file.readline)
    on_disk = data.decode(encoding)
    if on_disk.replace("\r\n", "\n").replace("\r", "\n") != before:
        raise FileError("has changed meanwhile, and is left as it is")
    newline = "\r\n" if "\r\n" in on_disk else "\n"
    with open(path, "wb") as file:
        file.write(after.replace("\n", newline).encode(encoding))


def can_hold_comment(text: str, number: int) -> bool:
    """Whether text added to the end of a line is a comment: not in a string, nor after a backslash."""
    line = text.split("\n")[number - 1]
    if line.rstrip().endswith("\\"):
        return False
    for node in ast.walk(ast.parse(text)):
        inside = isinstance(node, ast.Constant | ast.JoinedStr) and node.lineno <= number < (
            node.end_lineno or 0
        )
        if inside:
            return False
    return True


def changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


__all__ = ["EXCLUDED", "Run", "Severity"]
