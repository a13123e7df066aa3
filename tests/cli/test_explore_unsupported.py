"""Where the probe does not know the interpreter, the explorer says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from threadproof import _core
from threadproof.explore import UnsupportedError, explore

if hasattr(_core, "explore"):
    pytest.skip("the explorer works with this interpreter", allow_module_level=True)


def test_the_function_refuses() -> None:
    with pytest.raises(UnsupportedError, match=r"CPython 3\.14"):
        explore(lambda: None)


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("def test(): pass\n")
    command = [sys.executable, "-m", "threadproof", "explore", "program.py::test"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
