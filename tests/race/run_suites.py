"""Runs other projects' test suites with and without the detector, and prints the tests whose outcome differs.

    build/venv-3.14t/bin/python -m tests.race.run_suites             # CPython's, and three packages'
    build/venv-3.14t/bin/python -m tests.race.run_suites test_dict cachetools

A second thread is alive all the time, so that all code is watched: the tests and the tested packages. The
races found do not matter here. The packages are source distributions, fetched by pip into build/suites.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "suites"
SECONDS = 900  # a suite that takes longer hangs

CPYTHON = (
    *("test_dict", "test_set", "test_list", "test_class", "test_generators", "test_descr", "test_deque"),
    *("test_functools", "test_queue", "test_threading_local"),
)
PACKAGES = {
    "cachetools": ("cachetools==5.5.0", "tests"),
    "more_itertools": ("more-itertools==10.5.0", "tests"),
    "toolz": ("toolz==1.0.0", "toolz/tests"),
}

Outcomes = dict[str, str]


# --- in a process of its own ---


class Recorder(unittest.TestResult):
    """The outcome of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: Outcomes = {}

    def note(self, test: Any, outcome: str) -> None:
        self.outcomes[test.id()] = outcome

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        self.note(test, "passed")

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        self.note(test, f"error: {err[0].__name__}")

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self.note(test, "failed")

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self.note(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self.note(test, "failed as expected")


def run_unittests(name: str) -> Outcomes:
    recorder = Recorder()
    unittest.defaultTestLoader.loadTestsFromName(f"test.{name}").run(recorder)
    return recorder.outcomes


class Listener:
    """A pytest plugin that records the outcome of each test."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome


def run_pytest(folder: Path) -> Outcomes:
    listener = Listener()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", str(folder)], [listener])
    return listener.outcomes


@contextlib.contextmanager
def watching(package: str) -> Iterator[None]:
    """The package is watched, and another thread lives."""
    from threadproof.race import detect

    stop = threading.Event()
    with detect(include=[package, "test", "tests"], exclude=[__file__]):
        other = threading.Thread(target=stop.wait)
        other.start()
        try:
            yield
        finally:
            stop.set()
            other.join()


def run_one(name: str, watched: bool) -> None:
    with watching(name) if watched else contextlib.nullcontext():
        outcomes = (
            run_pytest(Path(os.getcwd(), PACKAGES[name][1])) if name in PACKAGES else run_unittests(name)
        )
    print(json.dumps(outcomes))


# --- the two runs and their difference ---


def fetch(package: str) -> Path:
    """The unpacked source distribution."""
    wanted = PACKAGES[package][0]
    folder = BUILD / wanted
    if not folder.exists():
        options = ["-qq", "--no-deps", "--no-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(BUILD), wanted]
        subprocess.run(command, check=True)
        (archive,) = BUILD.glob(f"{wanted.partition('==')[0].replace('-', '[-_]')}-*.tar.gz")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    (inside,) = folder.iterdir()
    return inside


def outcomes(name: str, watched: bool) -> Outcomes:
    where = fetch(name) if name in PACKAGES else ROOT
    child = "watched" if watched else "plain"
    command = [sys.executable, "-P", __file__, "--child", child, name]  # by its path: they have `tests`, too
    path = os.pathsep.join(str(folder) for folder in (where, where / "src"))
    ran = subprocess.run(
        command,
        cwd=where,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if ran.returncode:
        raise RuntimeError(
            f"{name}, {'watched' if watched else 'plain'}: exit code {ran.returncode}\n{ran.stderr}"
        )
    found: Outcomes = json.loads(ran.stdout.splitlines()[-1])
    return found


def differences(plain: Outcomes, watched: Outcomes) -> Iterator[str]:
    for test in sorted(plain.keys() | watched.keys()):
        before, after = plain.get(test, "not run"), watched.get(test, "not run")
        if before != after:
            yield f"{test}: {before} by itself, {after} under the detector"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.race.run_suites")
    parser.add_argument("names", nargs="*", help="CPython's test modules, and packages; all of ours if none")
    parser.add_argument("--child", choices=("plain", "watched"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_one(args.names[0], args.child == "watched")
        return 0
    wrong = total = 0
    for name in args.names or (*CPYTHON, *PACKAGES):
        plain = outcomes(name, watched=False)
        found = list(differences(plain, outcomes(name, watched=True)))
        wrong, total = wrong + len(found), total + len(plain)
        print(f"{name}: {len(plain)} tests", *found, sep="\n  ", flush=True)
    print(f"{total} tests, {wrong} with another outcome under the detector")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
