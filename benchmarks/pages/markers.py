"""Replaces the text between two markers in a page, such as a table of results."""

from __future__ import annotations

from pathlib import Path


class NoMarkerError(Exception):
    """The page lacks the markers."""


def replace_between(text: str, name: str, new: str) -> str:
    """Put `new` between `<!-- name -->` and `<!-- end of name -->`."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not (found and closed):
        raise NoMarkerError(f"wants the lines {first} and {last}, with the text to replace between them")
    return f"{before}{first}\n\n{new.strip()}\n\n{last}{after}"


def write_between(page: Path, name: str, new: str) -> None:
    page.write_text(replace_between(page.read_text(encoding="utf-8"), name, new), encoding="utf-8")
