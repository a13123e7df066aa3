"""A language server: diagnostics as one types, a rule's page on hover, fixes as quick fixes.

It needs pygls, which the extra `threadproof[lsp]` brings. A file is linted by itself and with what is open;
the whole tree is linted by the command.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from threadproof.findings import Severity
from threadproof.findings.options import OptionError
from threadproof.lint.engine import PACKAGES, check_tree, ordered, parse
from threadproof.lint.files import lines_of, module_name, show_as
from threadproof.lint.findings import linter
from threadproof.lint.fixes import Edit
from threadproof.lint.fixing import edits_for
from threadproof.lint.noqa import Comments, added
from threadproof.lint.options import OPTIONS
from threadproof.lint.pages import page
from threadproof.lint.rule import Report
from threadproof.lint.rules import all_rules
from threadproof.lint.selection import Selection
from threadproof.lint.tree import join

LEVELS = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.NOTE: lsp.DiagnosticSeverity.Information,
}


class Server(LanguageServer):
    """The server, with the reports of each open file."""

    def __init__(self) -> None:
        super().__init__("threadproof-lint", linter().version)
        self.reports: dict[str, list[Report]] = {}

    def lint(self, uri: str) -> None:
        """Lint one open file, and publish what is found."""
        text = self.workspace.get_text_document(uri).source
        path = path_of(uri)
        self.reports[uri] = reports_for(path, text)
        found = [diagnostic(report, text) for report in self.reports[uri]]
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found))


def opened(server: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    server.lint(params.text_document.uri)


def changed(server: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    server.lint(params.text_document.uri)


def closed(server: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    server.reports.pop(params.text_document.uri, None)
    server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))


def hover(server: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    """The pages of the rules that report something on the line."""
    line = params.position.line + 1
    reports = [
        r for r in server.reports.get(params.text_document.uri, []) if r.span.line <= line <= r.span.end_line
    ]
    if not reports:
        return None
    codes = sorted({report.code for report in reports})
    text = "\n\n---\n\n".join(page(all_rules()[code]) for code in codes)
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text))


def actions(server: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    """A fix for each report in the range that has one, and a comment that suppresses it."""
    uri = params.text_document.uri
    text = server.workspace.get_text_document(uri).source
    first, last = params.range.start.line + 1, params.range.end.line + 1
    found = []
    for report in server.reports.get(uri, []):
        if first <= report.span.line <= last:
            edits = edits_for(path_of(uri), "module", text, report)
            if edits:
                found.append(action(uri, text, report, all_rules()[report.code].advice, edits))
            found.append(suppressing(uri, text, report))
    return found


FEATURES: list[tuple[Callable[..., object], tuple[Any, ...]]] = [
    (opened, (lsp.TEXT_DOCUMENT_DID_OPEN,)),
    (changed, (lsp.TEXT_DOCUMENT_DID_CHANGE,)),
    (closed, (lsp.TEXT_DOCUMENT_DID_CLOSE,)),
    (hover, (lsp.TEXT_DOCUMENT_HOVER,)),
    (actions, (lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix]))),
]


def make_server() -> Server:
    made = Server()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'asyncio.iscoroutinefunction'", DeprecationWarning)  # by pygls 2.1
        for handler, feature in FEATURES:
            made.feature(*feature)(handler)
    return made


def action(uri: str, text: str, report: Report, title: str, edits: Sequence[Edit]) -> lsp.CodeAction:
    safe = all_rules()[report.code].fix_safety == "safe"
    return lsp.CodeAction(
        title=f"{report.code}: {title}",
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=[diagnostic(report, text)],
        is_preferred=safe,
        edit=lsp.WorkspaceEdit({uri: [lsp.TextEdit(range_of(text, edit), edit.text) for edit in edits]}),
    )


def suppressing(uri: str, text: str, report: Report) -> lsp.CodeAction:
    lines = text.split("\n")
    before = lines[report.span.line - 1]
    after = added(before, [report.code])
    begin = sum(len(line) + 1 for line in lines[: report.span.line - 1])
    edit = Edit(begin, begin + len(before), after)
    made = action(uri, text, report, "suppress it with a comment", [edit])
    made.is_preferred = False
    return made


def reports_for(path: str, text: str) -> list[Report]:
    """What the rules chosen by pyproject.toml report about a text, but for what its comments suppress."""
    rules = list(all_rules().values())
    parsed = parse(path, text, module_name(path, PACKAGES), rules)
    if parsed.module is None:
        return []
    world = join([parsed.module])
    reports = ordered([*parsed.reports, *check_tree(world, parsed.module, rules)])
    show_as(path, text)
    selection, comments = selected(path), Comments(path, lines_of(text))
    return [report for report in selection.shown(reports) if not is_suppressed(report, comments)]


def selected(path: str) -> Selection:
    try:
        return Selection(OPTIONS.read({}, folder=Path(path).parent))
    except OptionError:
        return Selection(OPTIONS.read({}))


def is_suppressed(report: Report, comments: Comments) -> bool:
    from threadproof.findings.suppress import comments_in
    from threadproof.lint.findings import finding_of

    finding = finding_of(report)
    if comments.suppressing(finding, report.span.end_line):
        return True
    return any(comment.covers(finding) for comment in comments_in(report.path, "lint"))


def diagnostic(report: Report, text: str) -> lsp.Diagnostic:
    rule = all_rules()[report.code]
    related = [
        lsp.DiagnosticRelatedInformation(
            lsp.Location(Path(one.path or report.path).absolute().as_uri(), span_range(text, one.span)),
            one.what,
        )
        for one in report.related
    ]
    return lsp.Diagnostic(
        range=span_range(text, report.span),
        message=f"{report.message}\n{report.fix or rule.advice}",
        severity=LEVELS[rule.severity if report.severity is None else report.severity],
        code=report.code,
        source=linter().title,
        related_information=related,
    )


def span_range(text: str, span: Sequence[int]) -> lsp.Range:
    line, column, end_line, end_column = span
    lines = text.split("\n")
    return lsp.Range(position(lines, line, column), position(lines, end_line, end_column))


def position(lines: Sequence[str], line: int, column: int) -> lsp.Position:
    """A position of `ast`, in bytes, as the protocol has it: in UTF-16 code units, lines from 0."""
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    before = source.encode()[:column].decode(errors="ignore")
    return lsp.Position(max(line - 1, 0), len(before.encode("utf-16-le")) // 2)


def range_of(text: str, edit: Edit) -> lsp.Range:
    return lsp.Range(at_offset(text, edit.begin), at_offset(text, edit.end))


def at_offset(text: str, where: int) -> lsp.Position:
    line = text.count("\n", 0, where)
    start = text.rfind("\n", 0, where) + 1
    return lsp.Position(line, len(text[start:where].encode("utf-16-le")) // 2)


def path_of(uri: str) -> str:
    return unquote(urlparse(uri).path)
