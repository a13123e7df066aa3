"""The scripts that write pages run from end to end, at tiny sizes, and then do not change the pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "page", "parts"),
    [
        (
            "family.py",
            "maps.md",
            ("**200 keys, 1 thread**", "| iterate while writing", "| worst pause, ms ("),
        ),
        ("designs.py", "maps.md", ("64 locks against one", "reader-writer lock against mutex, one lock")),
        (
            "page.py",
            "benchmarks.md",
            ("targets met", "## losses", "closed loop, 95 % reads", "too few CPUs", "ycsb-f"),
        ),
    ],
)
def test_a_script_measures_and_reports(script: str, page: str, parts: tuple[str, ...]) -> None:
    before = (ROOT / "docs" / page).read_bytes()
    command = [sys.executable, f"benchmarks/{script}", "--try"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not [text for text in parts if text not in done.stdout]
    assert (ROOT / "docs" / page).read_bytes() == before
