"""Tables in documents: what stands between two markers is written by a program, and only that."""

from __future__ import annotations

import argparse
from pathlib import Path


class NoMarkerError(Exception):
    """The page does not say where the text belongs."""


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
    """Read the arguments of a script that measures and then writes a page; `flags` are its own, explained."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--try", action="store_true", dest="trial", help="measure hardly anything")
    for name, meaning in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    return parser.parse_args()
