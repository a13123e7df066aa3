"""The examples of Cache run as programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kit.hammer import PATIENCE

FOLDER = Path(__file__).parents[2] / "examples" / "cache"


def test_a_stampede_calls_the_backend_once() -> None:
    command = [sys.executable, "-W", "error", str(FOLDER / "stampede.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "100 clients, 1 call of the backend\n"
