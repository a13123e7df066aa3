"""The linter on threadproof itself: what it reports there is mended, or suppressed with a reason."""

from __future__ import annotations

from pathlib import Path

from threadproof.cli import main

SOURCE = Path(__file__).parents[2] / "src"


def test_our_own_source_is_clean() -> None:
    assert main(["lint", "--preview", "--no-cache", str(SOURCE)]) == 0
