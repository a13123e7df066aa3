"""Each format, byte for byte. `python -m tests.findings.test_golden` writes the golden files again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.findings.examples import EXAMPLES, GOLDEN, RACE
from threadproof.findings.formats.github import as_github
from threadproof.findings.formats.html import as_html
from threadproof.findings.formats.json import as_json
from threadproof.findings.formats.sarif import as_sarif
from threadproof.findings.formats.text import COLOUR, PLAIN, as_text

ROOT = Path(__file__).parents[2]
FORMATS: dict[str, Callable[[], str]] = {
    "report.txt": lambda: "\n\n".join(as_text(finding, PLAIN) for finding in EXAMPLES),
    "report.colour.txt": lambda: "\n\n".join(as_text(finding, COLOUR) for finding in EXAMPLES),
    "report.json": lambda: as_json(EXAMPLES, RACE).replace(str(ROOT), "ROOT"),
    "report.sarif": lambda: as_sarif(EXAMPLES, RACE).replace(ROOT.as_uri(), "file:///ROOT"),
    "report.html": lambda: as_html(EXAMPLES, "threadproof race"),
    "report.github.txt": lambda: "\n".join(as_github(finding) for finding in EXAMPLES),
}


@contextmanager
def at_the_root() -> Iterator[None]:
    """Reports name files relative to the current directory."""
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(before)


def printed(name: str) -> str:
    with at_the_root():
        return FORMATS[name]() + "\n"


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_what_its_golden_file_has(name: str) -> None:
    assert printed(name) == (GOLDEN / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for name in FORMATS:
        (GOLDEN / name).write_text(printed(name), encoding="utf-8")
        print(GOLDEN / name)
