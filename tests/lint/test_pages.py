"""The pages of the rules are those of the rules that there are, and have what a page must have."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.lint.pages import files
from threadproof.lint.rule import LintRule
from threadproof.lint.rules import all_rules

FOLDER = Path(__file__).parents[2] / "docs" / "lint"
RULES = all_rules().values()


def test_the_pages_in_docs_are_current() -> None:
    """If this fails: `python -m threadproof.lint.pages`."""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == files()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_page_explains_and_shows_a_way_out(rule: LintRule) -> None:
    headings = [line for line in rule.page.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## What it does", "## Why is this bad?", "## Example"]
    assert "## When it is fine" in headings
    assert rule.page.count("```python") >= 1
    assert rule.advice
