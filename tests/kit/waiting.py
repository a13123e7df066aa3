"""Waiting in tests: for threads to come to where they wait, and for programs to end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from textwrap import dedent

from tests.kit.hammer import PATIENCE, pause


def until(holds: Callable[[], object]) -> None:
    """Return when it holds; what it looks at is set by another thread."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, "the test has hung"
        pause()


def wait(event: threading.Event) -> None:
    """Return when the event is set."""
    assert event.wait(PATIENCE), "the test has hung"


def run_program(code: str) -> str:
    """What a Python program prints; it must end well. It may fork while it has threads."""
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout.strip()
