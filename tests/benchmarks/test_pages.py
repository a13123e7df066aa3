"""The scripts that measure and write pages run from end to end, at tiny sizes, and then change no page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/benchmarks.md", "docs/maps.md")
PARTS = (
    "| read: int, fresh, n=1,000 ",
    "targets met",
    "## losses",
    "closed loop, 95 % reads",
    "too few CPUs",
    "ycsb-f",
    "**1,000 keys, 1 thread**",
    "| iterate while writing",
    "| worst pause, ms (",
    "64 locks against one",
    "reader-writer lock against mutex, one lock",
)


def script(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, f"benchmarks/{name}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_measured_is_in_the_parts_of_the_pages(tmp_path: Path) -> None:
    before = [(ROOT / page).read_bytes() for page in PAGES]
    script("measure.py", "--try", "--out", tmp_path / "cells.json")
    printed = script("write.py", "--print", tmp_path / "cells.json")
    assert not [text for text in PARTS if text not in printed]
    assert [(ROOT / page).read_bytes() for page in PAGES] == before


def test_the_pages_show_the_results_that_are_kept() -> None:
    kept = ROOT / "benchmarks" / "results" / "cells.json"
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    parts = script("write.py", "--print", kept).split("## ")
    tables = [line for part in parts for line in part.splitlines() if line.startswith("| ")]
    assert tables
    assert not [line for line in tables if line not in text]
