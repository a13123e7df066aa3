"""The maps keep their contract under the detector: signatures, results, errors, and which user code runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

ROOT = Path(__file__).parents[2]

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

ARMED = (
    "import sys, threading, pytest\n"
    "from threadproof.race import detect\n"
    "with detect():\n"
    "    threading.Thread(target=int).start()\n"  # the first one arms the detector
    "    idle = threading.Event()\n"
    "    threading.Thread(target=idle.wait, daemon=True).start()\n"  # with a second one, accesses count
    "    code = pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly', *sys.argv[1:]])\n"
    "sys.exit(code)\n"
)


@pytest.mark.parametrize("tests", ["test_contract.py", "test_contract_keys.py", "test_contract_compute.py"])
def test_the_contract_holds_under_the_detector(tests: str) -> None:
    command = [sys.executable, "-c", ARMED, f"tests/maps/{tests}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
