"""README's picture shows the results that are kept, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kit.hammer import PATIENCE

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "cells.json"


def draw(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/picture.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_picture_is_drawn_from_the_results_that_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.svg"
    done = draw("--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == (ROOT / "docs" / "throughput.svg").read_text()


def test_another_time_gives_another_picture(tmp_path: Path) -> None:
    results = json.loads(RESULTS.read_text())
    for row in results["rows"]:
        row["samples"] = [10 * sample for sample in row["samples"]]
    (tmp_path / "in.json").write_text(json.dumps(results))
    done = draw("--results", tmp_path / "in.json", "--out", tmp_path / "out.svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.svg").read_text() != (ROOT / "docs" / "throughput.svg").read_text()


def test_a_missing_time_is_an_error_that_names_it(tmp_path: Path) -> None:
    results = json.loads(RESULTS.read_text())
    results["rows"] = [row for row in results["rows"] if row["workload"] != "grow"]
    (tmp_path / "in.json").write_text(json.dumps(results))
    done = draw("--results", tmp_path / "in.json", "--out", tmp_path / "out.svg")
    assert done.returncode == 2
    assert "no time of dict in 'grow', int keys, n=1,000, 2 threads" in done.stderr
    assert not (tmp_path / "out.svg").exists()
