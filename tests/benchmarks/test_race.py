"""benchmarks/race.py runs and prints its table; no test asserts a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, "benchmarks/race.py"]

if hasattr(_core, "race"):

    def test_a_program_is_measured_in_every_way(tmp_path: Path) -> None:
        out = tmp_path / "out.json"
        command = [*SCRIPT, "--quick", "--only", "calls", "--json", str(out)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "| calls |" in done.stdout
        ways = json.loads(out.read_text())["programs"]["calls"]
        assert {"watched", "sampled", "two threads", "before the first start", "one thread"} == set(ways)
        assert all(min(way["seconds"][0]) > 0 and len(way["answers"]) == 1 for way in ways.values())

else:

    def test_the_benchmark_is_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")
