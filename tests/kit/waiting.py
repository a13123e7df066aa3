"""Waiting in tests: until threads wait, and until programs end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from textwrap import dedent

from tests.kit.hammer import PATIENCE, pause


def until(holds: Callable[[], object]) -> None:
    """Return when it holds; another thread changes the state that it reads."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, "the test has hung"
        pause()


def wait(event: threading.Event) -> None:
    """Return when the event is set."""
    assert event.wait(PATIENCE), "the test has hung"


def run_program(code: str) -> str:
    """The output of a Python program, which must exit with 0. It may fork while it has threads."""
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout.strip()
