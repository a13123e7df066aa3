"""The runbooks are those of the checks that there are, and have what a runbook must have."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.watch import CHECKS, Check
from threadproof.watch.pages import files

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"


def test_the_pages_in_docs_are_current() -> None:
    """If this fails: `python -m threadproof.watch.pages`."""
    assert {page.name: page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md")} == files()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_runbook_has_its_four_parts(check: Check) -> None:
    parts = [line for line in check.page.splitlines() if line.startswith("## ")]
    assert parts == ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
