"""Each pitfall, run as a program: the naive version fails as the README shows, the other one holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE

FOLDER = Path(__file__).parents[2] / "examples" / "pitfalls"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
PITFALLS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "meanwhile")


@pytest.mark.parametrize("pitfall", PITFALLS)
def test_a_naive_version_fails_as_the_readme_shows_and_the_fixed_one_holds(pitfall: str) -> None:
    command = [sys.executable, "-W", "error", str(FOLDER / f"{pitfall}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    *naive, fixed = done.stdout.splitlines()
    assert fixed == "fixed: holds"
    assert naive
    for line in naive:
        assert line in README, "the README shows what each naive version prints"


def test_the_readme_has_a_row_for_each_pitfall() -> None:
    assert len(PITFALLS) == 7
    assert all(f"({pitfall}.py)" in README for pitfall in PITFALLS)
