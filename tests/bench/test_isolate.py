"""A rival that takes its process down gets a row that says so, and the others are measured all the same."""

from __future__ import annotations

import subprocess
import sys

from tests.kit.hammer import PATIENCE

CRASH = """
import os, signal
from dataclasses import replace
from threadproof.bench.isolate import Job, measure
from threadproof.bench.rivals import DICT, LOCKED_DICT
from threadproof.bench.stage import Effort
from threadproof.bench.workloads import WORKLOADS, Scene

class Crashes(dict):
    def __delitem__(self, key):
        os.kill(os.getpid(), signal.SIGKILL)

crashes = replace(DICT, name="crashes", make=Crashes)
workloads = [WORKLOADS[name] for name in ("read", "churn", "write")]
job = Job(Scene(n=10, operations=10), workloads, (crashes, LOCKED_DICT), Effort(0, 1, 1))
for row in measure(job):
    print(row.workload, row.rival, row.problem or bool(row.samples), sep=": ")
"""


def test_who_crashes_gets_a_row_and_the_others_run_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "read: crashes: True",
        "read: dict + Lock: True",
        "churn: crashes: crashed: SIGKILL",
        "churn: dict + Lock: True",
        "write: crashes: True",
        "write: dict + Lock: True",
    ]
