"""`pytest --watch-leaks`: the test after which maps or threads have grown fails, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CASES = """
import threading
import pytest
from threadproof import HashMap
from threadproof.stats import watch

known = HashMap(a=1)
named = watch("sessions", HashMap())
stop = threading.Event()

def test_uses_maps_and_threads_of_its_own():
    own = HashMap(a=1)
    thread = threading.Thread(target=own.clear)
    thread.start()

def test_overwrites():
    known["a"] = 2

def test_leaves_a_key():
    known["b"] = 1

def test_leaves_a_key_in_a_named_map():
    named["request 17"] = 1

def test_leaves_a_thread():
    threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()

@pytest.mark.leaks_allowed("fills a cache")
def test_is_allowed_to():
    known["c"] = 1

def test_ends_well():
    stop.set()
"""


def run(folder: Path, *options: str) -> str:
    (folder / "test_cases.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_test_after_which_something_has_grown_fails(tmp_path: Path) -> None:
    out = run(tmp_path, "--watch-leaks", "--strict-markers")
    errors = {line.split()[1] for line in out.splitlines() if line.startswith("ERROR ")}
    grown = ("leaves_a_key", "leaves_a_key_in_a_named_map", "leaves_a_thread")
    assert errors == {f"test_cases.py::test_{name}" for name in grown}, out
    assert "a HashMap has 2 keys, 1 before; some of its keys: " in out
    assert "'sessions' (a HashMap) has 1 keys, 0 before, named at " in out
    assert "'request 17'" in out
    assert "the thread 'forgotten' is running, and was not before" in out


def test_without_the_option_nothing_is_watched(tmp_path: Path) -> None:
    assert "7 passed" in run(tmp_path)
