"""`threadproof explore` and pytest: their output, files and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import threading

class Counter:
    def __init__(self):
        self.n = 0

def add_twice(add):
    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def test_lost():
    counter = Counter()
    def add():
        counter.n += 1
    add_twice(add)
    assert counter.n == 2

def test_right():
    counter, lock = Counter(), threading.Lock()
    def add():
        with lock:
            counter.n += 1
    add_twice(add)
    assert counter.n == 2

def test_with_fixture(tmp_path):
    test_lost()

def test_deadlock():
    one, other = threading.Lock(), threading.Lock()
    def first():
        with one, other: pass
    def second():
        with other, one: pass
    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

class TestClass:
    def test_method(self):
        test_lost()

if __name__ == "__main__":
    test_lost()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_program.py").write_text(PROGRAM)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def explored(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "threadproof", "explore", *arguments)


def test_a_failure_is_told_as_a_story_and_repeated(folder: Path) -> None:
    done = explored(folder, "test_program.py::test_lost")
    assert done.returncode == 66, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("test_program.py::test_lost fails in schedule ")
    assert lines[0].endswith(": AssertionError")
    story = [line.partition("counter.n += 1")[2].split() for line in lines if "counter.n += 1" in line]
    assert [each[0] for each in story] == ["reads", "reads", "writes", "writes"]
    assert "1 preemption" in done.stderr
    assert "10 of 10 replays failed alike" in done.stderr
    command = lines[-1].split()
    assert command[:4] == ["threadproof", "explore", "test_program.py::test_lost", "--replay"]
    again = run(folder, *command)
    assert again.returncode == 66
    assert again.stderr.splitlines()[1:] == lines[1:]


def test_a_test_without_a_failure_exits_with_0(folder: Path) -> None:
    done = explored(folder, "test_program.py::test_right")
    assert done.returncode == 0
    assert "no failure in" in done.stderr
    assert "these are all behaviours for this input" in done.stderr


@pytest.mark.parametrize("target", ["test_program.py", "test_program.py::TestClass::test_method"])
def test_scripts_and_methods_are_explored_too(folder: Path, target: str) -> None:
    done = explored(folder, target)
    assert done.returncode == 66, done.stderr
    assert "counter.n += 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["missing.py"], "cannot read 'missing.py'"),
        (["test_program.py::nothing"], "has no function 'nothing'"),
        (["test_program.py::test_with_fixture"], "wants tmp_path; for a test with fixtures"),
        (["test_program.py::test_lost", "--replay", "x"], "'x' is not a token"),
        (["test_program.py::test_lost", "--strategy", "best"], "'best' is none of auto, random"),
        (["test_program.py::test_lost", "--schedules", "0"], "'0' is not a number, at least 1"),
        (["test_program.py::test_lost", "--seconds", "-1"], "'-1' is not a number of seconds above 0"),
    ],
)
def test_a_wrong_request_gets_one_line(folder: Path, arguments: list[str], error: str) -> None:
    done = explored(folder, *arguments)
    assert done.returncode == 2
    assert error in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_findings_are_written_in_every_format(folder: Path) -> None:
    formats = ("json", "sarif", "html", "gitlab", "junit")
    done = explored(folder, "test_program.py::test_deadlock", *(f"--{each}={each}.out" for each in formats))
    assert done.returncode == 66, done.stderr
    assert "which Thread-2 (second) has" in done.stderr
    for each in formats:
        assert "deadlock" in (folder / f"{each}.out").read_text(), each
    report = json.loads((folder / "json.out").read_text())
    assert report["findings"][0]["rule"] == "deadlock"


def test_a_suppressed_failure_does_not_count(folder: Path) -> None:
    (folder / "allowed").write_text("rule:failing-schedule # known\n")
    done = explored(folder, "test_program.py::test_lost", "--suppressions", "allowed")
    assert done.returncode == 0, done.stderr


# --- pytest ---


def pytested(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "pytest", "-p", "no:cacheprovider", *arguments)


def test_pytest_explores_all_tests_with_their_fixtures(folder: Path) -> None:
    done = pytested(folder, "--explore", "-rA", "--tb=short")
    failed = {
        line.split()[1].partition("::")[2] for line in done.stdout.splitlines() if line.startswith("FAILED")
    }
    assert failed == {"test_lost", "test_with_fixture", "test_deadlock", "TestClass::test_method"}, (
        done.stdout
    )
    assert "reads  Counter.n   0" in done.stdout
    assert "E   assert 1 == 2" in done.stdout


def test_pytest_explores_a_marked_test_without_an_option(folder: Path) -> None:
    text = (folder / "test_program.py").read_text()
    text = text.replace("def test_lost", "import pytest\n@pytest.mark.explore(schedules=50)\ndef test_lost")
    (folder / "test_program.py").write_text(text)
    done = pytested(folder, "-k", "lost or right")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    token = done.stdout.partition("--explore-replay ")[2].split()[0]
    again = pytested(folder, "-k", "lost", "--explore-replay", token)
    assert "1 of 1" in again.stdout, again.stdout


def test_pytest_refuses_the_detector_and_the_explorer_together(folder: Path) -> None:
    done = pytested(folder, "--explore", "--race")
    assert done.returncode == 4
    assert "run them one after the other" in done.stderr


def test_a_marker_with_a_wrong_option_fails_its_test(folder: Path) -> None:
    (folder / "test_program.py").write_text(
        "import pytest\n@pytest.mark.explore(strategy='best')\ndef test(): pass\n"
    )
    done = pytested(folder)
    assert "explore() has no strategy 'best'" in done.stdout, done.stdout


def test_a_skipped_test_stays_skipped(folder: Path) -> None:
    (folder / "test_program.py").write_text("import pytest\ndef test(): pytest.skip('not today')\n")
    done = pytested(folder, "--explore")
    assert "1 skipped" in done.stdout, done.stdout
