"""benchmarks/ratios.py runs and prints its tables; no test asserts a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kit.hammer import PATIENCE

ROOT = Path(__file__).parents[2]
ROWS = [
    "read: int, fresh, n=1,000",
    "delete: str, n=1,000",
    "count_many: str, fresh, n=1,000",
    "two threads, 50 % read, 50 % overwrite: str, fresh, n=1,000",
]


def ratios(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script; modules for --contender are in `path`."""
    command = [sys.executable, "benchmarks/ratios.py", *arguments]
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def quick_rows(out: Path, *contenders: str) -> dict[str, Any]:
    only = [argument for row in ROWS for argument in ("--only", row)]
    done = ratios("--quick", "--json", str(out), *only, *contenders)
    assert done.returncode == 0, done.stderr
    rows = [row for table in json.loads(out.read_text())["tables"] for row in table["rows"]]
    assert all(row["name"] in done.stdout for row in rows)
    return {row["name"]: row for row in rows}


def test_each_kind_of_workload_is_measured_for_every_contender(tmp_path: Path) -> None:
    rows = quick_rows(tmp_path / "out.json")
    assert set(rows) >= set(ROWS)
    for row in rows.values():
        assert list(row["cells"]) == ["dict", "dict + Lock", "HashMap"]
        assert row["cells"]["dict"]["ratio"] == 1.0
        assert all(cell["nanoseconds"] > 0 and cell["samples"] for cell in row["cells"].values())


def test_another_map_can_be_a_contender(tmp_path: Path) -> None:
    rows = quick_rows(tmp_path / "out.json", "--contender", "threadproof.maps:LockedMap")
    assert all("threadproof.maps:LockedMap" in row["cells"] for row in rows.values())


def test_a_map_that_does_not_hold_what_was_stored_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "class Map(dict):\n"
        "    def __setitem__(self, key, value):\n"
        "        super().__setitem__(key, 'wrong' if key in self else value)\n"
    )
    done = ratios("--quick", "--only", "overwrite: int, fresh", "--contender", "wrong:Map", path=tmp_path)
    assert done.returncode == 1
    assert "wrong:Map, overwrite: int, fresh, n=1,000: WRONG ANSWER: 'wrong' at " in done.stderr


def test_a_contender_that_cannot_be_loaded_is_bad_usage() -> None:
    done = ratios("--contender", "nowhere:Map")
    assert done.returncode == 2
    assert "cannot load 'nowhere:Map': No module named 'nowhere'" in done.stderr
