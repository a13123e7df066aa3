"""Replaces the text between two markers in a page, such as a table of results."""

from __future__ import annotations

import argparse
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


def arguments(description: str | None, **flags: str) -> argparse.Namespace:
    """The arguments of a script that measures and writes a page; `flags` are its own, with their help."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--render", action="store_true", help="write the page from the results that are kept")
    parser.add_argument("--try", action="store_true", dest="trial", help="measure very little, into build/")
    for name, meaning in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    return parser.parse_args()
