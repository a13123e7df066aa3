"""Programs that use other packages' threads, under the detector.

Nothing is reported of a correct one, and the race that is planted in each is. Output and exit code are those
without the detector; time and memory are bounded.

    python -m tests.third_party.install && python -m pytest tests/third_party
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.watched import without_summary
from tests.third_party.install import folder, is_installed
from threadproof import _core

PROGRAMS = Path(__file__).parent / "programs"
# What the planted race is on, by program; some run in several forms.
PLANTED = {
    "flask_app": "Counter.visits",
    "fastapi_app": "Counter.visits",
    "fastapi_app uvloop": "Counter.visits",
    "uvloop_callbacks": "Totals.in_threads",
    "sqlalchemy_pool": "Statistics.checkins",
    "apscheduler_jobs": "Work.done",
    "trio_threads": "Totals.in_threads",
    "twisted_threads": "Totals.in_threads",
    "anyio_threads": "Totals.in_threads",
    "anyio_threads trio": "Totals.in_threads",
    "tqdm_bars": "Totals.seen",
    "rich_progress": "Totals.steps",
    "logging_forms": "Odd.seen",
}
# Beyond what a program takes by itself: its code is read and instrumented, and its accesses are remembered.
MEGABYTES = 150
SECONDS = 30  # of processor time; these programs take one or two


class Ran(NamedTuple):
    output: str
    errors: str
    code: int
    seconds: float  # of processor time
    megabytes: float  # at most at one time


def run(program: str, where: Path, *, watched: bool = True, racy: bool = False) -> Ran:
    """The program in a process of its own, in an empty folder."""
    name, *form = program.split()
    detector = ["-m", "threadproof", "race"] if watched else []
    command = [sys.executable, *detector, str(PROGRAMS / f"{name}.py"), *form, *(["racy"] if racy else [])]
    output, errors = where / "output", where / "errors"
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            command, cwd=where, env={**os.environ, "PYTHONPATH": str(folder())}, stdout=out, stderr=err
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Ran(
        output.read_text(),
        without_summary(errors.read_text()),
        process.returncode,
        seconds,
        used.ru_maxrss / 1024,
    )


if not hasattr(_core, "race"):

    def test_the_programs_are_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")

elif not is_installed():

    def test_the_programs_are_skipped_because_their_packages_are_not_installed() -> None:
        pytest.skip("python -m tests.third_party.install")

else:

    @pytest.mark.parametrize("program", PLANTED)
    def test_of_a_correct_program_nothing_is_reported_and_it_runs_as_ever(
        program: str, tmp_path: Path
    ) -> None:
        alone, watched = run(program, tmp_path, watched=False), run(program, tmp_path)
        assert (alone.code, alone.errors) == (0, "")
        assert (watched.code, watched.errors, watched.output) == (0, "", alone.output)
        assert watched.seconds < alone.seconds + SECONDS
        assert watched.megabytes < alone.megabytes + MEGABYTES

    @pytest.mark.parametrize("program", PLANTED)
    def test_the_planted_race_is_reported(program: str, tmp_path: Path) -> None:
        watched = run(program, tmp_path, racy=True)
        assert watched.code == 66
        assert f"error: lost-update: {PLANTED[program]} " in watched.errors
