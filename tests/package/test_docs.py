"""Every Python example in the documentation runs, and every file it links to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "docs", ROOT / "examples"]
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in folder.rglob("*.md"))])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


class Example(NamedTuple):
    page: Path
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def run(self) -> None:
        """Run it as a program of its own; a traceback names the page and its line."""
        above = "\n" * (self.line - 1)
        exec(compile(above + self.code, str(self.page), "exec"), {"__name__": "__main__"})


def examples_in(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield Example(page, text.count("\n", 0, block.start(1)) + 1, block[1])


EXAMPLES = [example for page in PAGES for example in examples_in(page)]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs(example: Example) -> None:
    example.run()


def test_the_readme_has_an_example() -> None:
    assert any(example.page.name == "README.md" for example in EXAMPLES)


def test_an_example_that_fails_is_seen_with_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nok = 1\nassert ok == 2\n```\n")
    (example,) = examples_in(page)
    with pytest.raises(AssertionError) as failure:
        example.run()
    assert failure.traceback[-1].path == page
    assert failure.traceback[-1].lineno + 1 == 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_file_that_is_there(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]
