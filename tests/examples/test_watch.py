"""The example service: each of its mistakes is found, and nothing about its healthy twin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kit.hammer import PATIENCE

SERVICE = Path(__file__).parents[2] / "examples" / "watch" / "service.py"


def test_the_four_mistakes_are_found_and_the_twin_is_well() -> None:
    command = [sys.executable, str(SERVICE), "--interval", "0.2", "--patience", str(PATIENCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 mistakes found, 0 findings about the twin" in done.stdout
    assert "Traceback" not in done.stderr
