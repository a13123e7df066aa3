"""Changes to a file's text. An edit touches only the characters that it names; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from threadproof.lint.facts.model import Span
from threadproof.lint.source import Source


class Edit(NamedTuple):
    """Replace the characters from `begin` up to `end`, both counted in the file's text, by `text`."""

    begin: int
    end: int
    text: str


def offset(source: Source, line: int, column: int) -> int:
    """Where a position of the syntax tree is in the text; the tree counts bytes of UTF-8."""
    lines = source.lines
    before = lines[line - 1].encode()[:column].decode(errors="ignore") if line <= len(lines) else ""
    return sum(map(len, lines[: line - 1])) + len(before)


def replace_span(source: Source, span: Span, text: str) -> Edit:
    return Edit(offset(source, span.line, span.column), offset(source, span.end_line, span.end_column), text)


def insert_text(source: Source, line: int, column: int, text: str) -> Edit:
    where = offset(source, line, column)
    return Edit(where, where, text)


def replace_text(source: Source, span: Span, old: str, new: str) -> Edit:
    """Replace the last occurrence of a text inside a span."""
    whole = replace_span(source, span, "")
    begin = source.text.rindex(old, whole.begin, whole.end)
    return Edit(begin, begin + len(old), new)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; of two that overlap, only the first is."""
    done = 0
    parts = []
    for edit in sorted(set(edits)):
        if edit.begin >= done:
            parts += [text[done : edit.begin], edit.text]
            done = edit.end
    return "".join([*parts, text[done:]])
