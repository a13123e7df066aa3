"""Sampling: hot code is judged now and then, and races are still found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

ROOT = Path(__file__).parents[2]

# A round may end its bursts before the second thread starts: so the test tries several sessions.
HOT = """
import threading
from threadproof.race import detect
class Box: pass
box = Box()
box.n = 0
def bump():
    for _ in range(20_000):
        box.n += 1
def find():
    with detect(sample=True) as detection:
        threads = [threading.Thread(target=bump) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    return [finding.rule for finding in detection.findings]
print(next(filter(None, (find() for _ in range(100)))))
"""

BUSY = """
import threading
from threadproof import _core
from threadproof.race import detect
class Box: pass
box = Box()
def work():
    for i in range(3):
        WORK
def many(times):
    for _ in range(times):
        work()
with detect(sample=SAMPLE):
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    given_up = []
    for times in 1, 1, TIMES:  # what cannot matter is given up when it first runs
        before = _core.probe.sites_given_up()
        many(times)
        given_up.append(_core.probe.sites_given_up() - before)
    print(given_up[2] > 0)
    done.set()
    thread.join()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)


if hasattr(_core, "race"):

    def test_a_hot_race_is_found(tmp_path: Path) -> None:
        program = tmp_path / "hot.py"
        program.write_text(HOT)
        ran = run(str(program))
        assert (ran.stdout, ran.stderr) == ("['lost-update']\n", "")

    @pytest.mark.parametrize(
        ("sample", "work", "times", "given_up"),
        [
            ("True", "box.a = i", 500, True),
            ("False", "box.a = i", 500, False),
            ("True", "'text'.upper", 20, True),  # after some dozen looks, as all others
            ("False", "'text'.upper", 20, False),
            ("False", "'text'.upper", 500, True),
        ],
    )
    def test_what_is_hot_while_sampling_or_touches_nothing_shared_is_given_up(
        tmp_path: Path, sample: str, work: str, times: int, given_up: bool
    ) -> None:
        program = tmp_path / "busy.py"
        program.write_text(BUSY.replace("SAMPLE", sample).replace("WORK", work).replace("TIMES", str(times)))
        ran = run(str(program))
        assert (ran.stdout, ran.stderr) == (f"{given_up}\n", "")

else:

    def test_sampling_is_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")
