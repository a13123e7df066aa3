"""A contender that ends its process has a row with that problem, and the others are measured."""

from __future__ import annotations

import subprocess
import sys

from tests.kit.hammer import PATIENCE

CRASH = """
import os, signal
from dataclasses import replace
from threadproof.bench.isolate import Job, measure
from threadproof.bench.contenders import DICT, LOCKED_DICT
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS

class Crashes(dict):
    def __delitem__(self, key):
        os.kill(os.getpid(), signal.SIGKILL)

crashes = replace(DICT, name="crashes", make=Crashes)
workloads = [WORKLOADS[name] for name in ("read", "churn", "write")]
job = Job(Scenario(n=10, operations=10), workloads, (crashes, LOCKED_DICT), Effort(0, 1, 1))
for row in measure(job):
    print(row.workload, row.contender, row.problem or bool(row.samples), sep=": ")
"""


def test_a_contender_that_crashes_has_a_row_and_the_others_run_again() -> None:
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
