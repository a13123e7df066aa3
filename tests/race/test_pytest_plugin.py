"""`pytest --race`: the test that a race is reported for, the failures, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

pytest_plugins = ["pytester"]

APP = """
import threading

class Box:
    def __init__(self):
        self.n = 0

box, other = Box(), Box()

def bump():
    box.n += 1

def together(function):
    threads = [threading.Thread(target=function) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.fixture(autouse=True)
def app(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(app=APP)


def run(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_it="import pytest\nfrom app import *\n" + tests)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_without_race_nothing_is_watched(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_racy(): together(bump)\n")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*data race*")


def test_the_test_in_which_the_race_was_fails_and_only_that(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        "def test_before(): bump()\ndef test_racy(): together(bump)\ndef test_after(): bump()\n",
        "--race",
    )
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == 66
    result.stdout.fnmatch_lines(
        [
            "test_it.py .R. *",
            "*_ test_racy _*",
            "app.py:10: error: lost-update: Box.n is read, changed and stored by two threads *",
            "  the Box was made by MainThread:",
            "*called from test_it.py:4, in test_racy",
            "*= data races =*",
            "app.py:10: error: lost-update: Box.n",
            "threadproof race: 1 error",
            "RACE test_it.py::test_racy*",
        ]
    )


def test_one_mistake_fails_one_test(pytester: pytest.Pytester) -> None:
    tests = "def test_one(): together(bump)\ndef test_two(): together(lambda: bump())\n"
    run(pytester, tests, "--race").assert_outcomes(passed=1, failed=1)


def test_a_race_in_a_fixture_is_its_tests(pytester: pytest.Pytester) -> None:
    tests = "@pytest.fixture\ndef racy(): together(bump)\ndef test_it(racy): pass\n"
    result = run(pytester, tests, "--race")
    result.assert_outcomes(errors=1)
    assert result.ret == 66


def test_another_failure_beside_the_races_is_an_ordinary_failure(pytester: pytest.Pytester) -> None:
    tests = "def test_racy(): together(bump)\ndef test_wrong(): assert False\n"
    result = run(pytester, tests, "--race")
    result.assert_outcomes(failed=2)
    assert result.ret == 1


def test_a_test_that_fails_anyway_shows_its_races_too(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it():\n    together(bump)\n    assert False\n", "--race")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E *assert False", "*- data races -*", "app.py:10: error: lost-update*"])


def test_races_below_the_severity_fail_nothing(pytester: pytest.Pytester) -> None:
    tests = "flag = Box()\ndef test_it():\n    def store(): flag.n = 1\n    together(store)\n"
    run(pytester, tests, "--race").assert_outcomes(failed=1)
    (pytester.path / "pytest.ini").write_text("[pytest]\nrace_options = severity=error\n")
    assert run(pytester, tests, "--race").ret == 0


@pytest.mark.parametrize(
    "allowed",
    ["()", "('lost-update')", "('lost-update', 'stale-size', variable='Box.*', reason='statistics')"],
)
def test_what_a_marker_allows_fails_nothing(pytester: pytest.Pytester, allowed: str) -> None:
    tests = f"@pytest.mark.race_allowed{allowed}\ndef test_it(): together(bump)\n"
    assert run(pytester, tests, "--race", "--strict-markers").ret == 0


@pytest.mark.parametrize("allowed", ["('stale-size')", "(variable='Page.*')"])
def test_what_a_marker_does_not_allow_fails(pytester: pytest.Pytester, allowed: str) -> None:
    tests = f"@pytest.mark.race_allowed{allowed}\ndef test_it(): together(bump)\n"
    assert run(pytester, tests, "--race").ret == 66


@pytest.mark.parametrize("allowed", ["('lost-updates')", "(colour='red')"])
def test_a_marker_that_cannot_be_read_stops_the_run_with_one_line(
    pytester: pytest.Pytester, allowed: str
) -> None:
    result = run(pytester, f"@pytest.mark.race_allowed{allowed}\ndef test_it(): pass\n", "--race")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: test_it.py::test_it: race_allowed: *"])


def test_a_comment_allows_and_one_that_allows_nothing_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(app=APP.replace("box.n += 1", "box.n += 1  # race: ignore why\n    # race: ignore"))
    result = run(pytester, "def test_it(): together(bump)\n", "--race")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*app.py:11: the comment suppressed nothing", "threadproof race: nothing found"]
    )


def test_sampling_finds_what_a_program_does_a_few_times(pytester: pytest.Pytester) -> None:
    assert run(pytester, "def test_racy(): together(bump)\n", "--race-sample").ret == 66


# --- in threads ---


def test_each_test_is_called_in_threads_that_share_its_fixtures(pytester: pytest.Pytester) -> None:
    tests = (
        "names, made = set(), []\n"
        "@pytest.fixture\n"
        "def thing(): made.append(1); return object()\n"
        "def test_calls(thing): names.add((threading.current_thread().name, id(thing)))\n"
        "def test_after(request):\n"
        "    if threading.current_thread().name.endswith(' 1'):\n"
        "        assert len(made) == 1 and len({thing for _, thing in names}) == 1\n"
        "        assert {name for name, _ in names} == {f'test_calls in thread {n}' for n in (1, 2, 3)}\n"
    )
    result = run(pytester, tests, "--race-threads", "3")
    result.assert_outcomes(passed=2)


def test_the_detector_judges_a_test_called_in_threads(pytester: pytest.Pytester) -> None:
    tests = (
        "def test_racy(): bump()\nlock = threading.Lock()\ndef test_clean():\n    with lock: other.n += 1\n"
    )
    result = run(pytester, tests, "--race-threads", "2")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 66
    result.stdout.fnmatch_lines(["* by test_racy in thread *", "*called from test_it.py:3, in test_racy"])
    result.stdout.no_fnmatch_line("*pytest_plugin*")


def test_what_a_thread_raises_is_the_tests_failure_and_its_traceback_is_the_tests(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, "def test_it(): assert box is None\n", "--race-threads", "2")
    assert result.ret == 1
    result.stdout.fnmatch_lines([">*assert box is None", "test_it.py:3: AssertionError"])
    result.stdout.no_fnmatch_line("*pytest_plugin*")


def test_a_skip_in_every_thread_is_a_skip(pytester: pytest.Pytester) -> None:
    run(pytester, "def test_it(): pytest.skip()\n", "--race-threads", "2").assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    "test",
    [
        "@pytest.mark.race_threads(1)\ndef test_it(): bump()\n",
        "def test_it(monkeypatch): bump()\n",
        "def test_it(capsys): bump()\n",
    ],
)
def test_a_test_that_is_for_one_thread_runs_in_one(pytester: pytest.Pytester, test: str) -> None:
    run(pytester, test, "--race-threads", "2").assert_outcomes(passed=1)


def test_a_marker_says_how_many_threads(pytester: pytest.Pytester) -> None:
    tests = "@pytest.mark.race_threads(4)\ndef test_it(): bump()\ndef test_other(): bump()\n"
    run(pytester, tests, "--race").assert_outcomes(passed=1, failed=1)


# --- with others ---


def test_reports_of_xdist_workers_reach_the_controller(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    tests = "def test_racy(): together(bump)\n" + "".join(f"def test_{n}(): pass\n" for n in range(4))
    (pytester.path / "pytest.ini").write_text("[pytest]\nrace_options = json=races.json:html=races.html\n")
    result = run(pytester, tests, "--race", "-n", "2")
    result.assert_outcomes(passed=4, failed=1)
    assert result.ret == 66
    result.stdout.fnmatch_lines(["app.py:10: error: lost-update: Box.n", "threadproof race: 1 error"])
    (finding,) = json.loads((pytester.path / "races.json").read_text())["findings"]
    assert finding["subject"] == "Box.n"
    assert "Box.n" in (pytester.path / "races.html").read_text()


@pytest.mark.parametrize("options", ["severty=note", "suppressions=nowhere.txt"])
def test_options_that_cannot_be_read_are_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.setenv("THREADPROOF_RACE", options)
    result = run(pytester, "def test_it(): pass\n", "--race")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.errlines if line]) == 1


def test_the_plugin_loads_nothing_of_the_detector_unless_asked() -> None:
    program = (
        "import sys, threadproof.pytest_plugin\nprint([m for m in sys.modules if 'threadproof.race' in m])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert ran.stdout == "[]\n"


def test_the_findings_of_detect_are_its_blocks_and_not_the_tests(pytester: pytest.Pytester) -> None:
    tests = (
        "from threadproof.race import detect\n"
        "def test_inside():\n"
        "    with detect() as detection: together(bump)\n"
        "    assert [finding.subject for finding in detection.findings] == ['Box.n']\n"
        "def test_outside():\n"
        "    with detect() as detection: pass\n"
        "    assert not detection.findings\n"
        "    together(lambda: setattr(other, 'n', other.n + 1))\n"
        "def test_check():\n"
        "    with detect() as detection: together(bump)\n"
        "    with pytest.raises(AssertionError, match='lost-update: Box.n'): detection.check()\n"
    )
    result = run(pytester, tests, "--race")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*_ test_outside _*"])


def test_each_thread_of_a_test_has_a_temporary_folder_of_its_own(pytester: pytest.Pytester) -> None:
    tests = (
        "folders = []\n"
        "@pytest.fixture\n"
        "def prepared(tmp_path): (tmp_path / 'given').write_text('x'); return tmp_path\n"
        "def test_file(tmp_path, prepared):\n"
        "    folders.append(tmp_path)\n"
        "    (tmp_path / 'f').write_text(str(tmp_path))\n"
        "    assert (tmp_path / 'f').read_text() == str(tmp_path)\n"
        "    assert (prepared / 'given').read_text() == 'x'\n"
        "def test_all(): assert len(folders) == len(set(folders)) == 4\n"
    )
    run(pytester, tests, "--race-threads=4", "-k", "file").assert_outcomes(passed=1, deselected=1)
    result = run(
        pytester,
        tests.replace("def test_all", "@pytest.mark.race_threads(1)\ndef test_all"),
        "--race-threads=4",
    )
    result.assert_outcomes(passed=2)
