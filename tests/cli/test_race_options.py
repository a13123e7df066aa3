"""`threadproof race` and its options: suppressions, scope, where the report goes, when the program ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

PROGRAM = """\
import threading
class Box:
    n = 0
box = Box()
def bump():
    box.n += 1
threads = [threading.Thread(target=bump, name=name) for name in ("one", "two")]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("the end")
"""

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path / "app.py"


def race(*arguments: str, program: str = "app.py", **environment: str) -> Ran:
    command = [sys.executable, "-m", "threadproof", "race", *arguments, program]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment
    )


def silent(ran: Ran) -> bool:
    return ran.returncode == 0 and "lost-update" not in ran.stderr and ran.stdout == "the end\n"


# --- suppression ---


def test_a_comment_suppresses_its_line_and_the_summary_counts_it(program: Path) -> None:
    program.write_text(
        PROGRAM.replace("box.n += 1", "box.n += 1  # race: ignore[lost-update] only statistics")
    )
    ran = race("--json", "races.json")
    assert silent(ran)
    assert ran.stderr.startswith("threadproof race: 1 suppressed\n")
    (finding,) = json.loads(Path("races.json").read_text())["findings"]
    assert finding["suppressed"] == {"where": "app.py:6", "reason": "only statistics", "in_source": True}


def test_a_comment_with_nothing_to_suppress_is_reported(program: Path) -> None:
    program.write_text(PROGRAM.replace("box = Box()", "box = Box()  # race: ignore"))
    ran = race()
    assert ran.returncode == 66
    assert "app.py:4: the comment suppressed nothing\n" in ran.stderr


def test_a_file_of_suppressions_suppresses_what_it_covers() -> None:
    Path("races.txt").write_text("variable:Box.n function:bump  # statistics\nrule:stale-size\n")
    ran = race("--suppressions", "races.txt")
    assert silent(ran)
    assert "races.txt:2: the line suppressed nothing\n" in ran.stderr


def test_a_bad_file_of_suppressions_is_one_line_and_the_program_does_not_run() -> None:
    Path("races.txt").write_text("klass:stale-size\n")
    ran = race("--suppressions", "races.txt")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "races.txt:1: 'klass' is not a condition" in ran.stderr


def test_findings_in_the_baseline_are_silent_and_new_ones_are_not(program: Path) -> None:
    assert race("--write-baseline", "known.json").returncode == 66
    assert silent(race("--baseline", "known.json"))
    program.write_text(PROGRAM.replace("def bump", "# moved\n\n\ndef bump"))
    assert silent(race("--baseline", "known.json"))
    program.write_text(PROGRAM.replace("bump", "jump"))
    ran = race("--baseline", "known.json")
    assert ran.returncode == 66
    assert "known.json: 1 of its findings did not come again" in ran.stderr


@pytest.mark.parametrize(
    "ignored",
    [
        ("def bump", "@race.ignore('statistics')\ndef bump"),
        ("    box.n += 1", "    with race.ignore('statistics'):\n        box.n += 1"),
    ],
)
def test_accesses_that_the_program_ignores_take_part_in_no_race(
    program: Path, ignored: tuple[str, str]
) -> None:
    program.write_text("from threadproof import race\n" + PROGRAM.replace(*ignored))
    ran = race()
    assert silent(ran)
    assert "lost-update" not in ran.stderr


def test_a_lock_taken_where_accesses_are_ignored_still_orders(program: Path) -> None:
    program.write_text(
        "import threading\nfrom threadproof import race\nlock = threading.Lock()\n"
        + PROGRAM.replace(
            "    box.n += 1",
            "    with race.ignore('the lock'):\n        lock.acquire()\n    box.n += 1\n    lock.release()",
        )
    )
    assert silent(race())


def test_ignore_wants_a_reason_and_refuses_what_runs_in_pieces() -> None:
    from threadproof.race import ignore

    with pytest.raises(TypeError, match="wants the reason"):
        ignore(len)  # type: ignore[arg-type]

    async def pieces() -> None: ...

    with pytest.raises(TypeError, match=r"cannot decorate .*pieces\(\), which runs in pieces"):
        ignore("why")(pieces)


# --- scope ---


def test_what_is_excluded_is_not_watched_and_an_exclusion_wins_over_an_inclusion() -> None:
    assert race("--exclude", "app").returncode == 0
    assert (
        race("--include", "app", "--exclude", "app").returncode == 2
    )  # nothing is left of what was asked for
    assert race("--include", "app").returncode == 66
    assert race(THREADPROOF_RACE="exclude=app").returncode == 0


@pytest.mark.parametrize(
    ("named", "watched"),
    [
        ("../lib", 2),
        ("../lib/box.py", 1),
        ("../lib/bump", 1),
        ("box", 2),
        ("bump", 1),
        ("bump.box", 1),
        ("b", 0),
    ],
)
def test_a_package_a_module_a_folder_or_a_file_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, watched: int
) -> None:
    for folder in ("lib/bump", "here"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("lib/box.py", "lib/bump/box.py"):
        (tmp_path / file).write_text("class Box: n = 0\ndef bump(): Box.n += 1\n")
    program = PROGRAM.replace(
        "import threading", "import sys, threading\nsys.path.append('../lib')\nimport box"
    )
    program = program.replace("box = Box()", "from bump.box import bump as bump_in_package")
    (tmp_path / "here" / "app.py").write_text(program.replace("box.n += 1", "box.bump(); bump_in_package()"))
    monkeypatch.chdir(tmp_path / "here")
    assert race("--include", named).stderr.count("error: lost-update: Box.n") == watched


# --- where the report goes ---


def test_a_log_is_named_after_the_process_and_stderr_stays_empty() -> None:
    ran = race("--log-path", "races.log")
    (log,) = Path().glob("races.log.*")
    assert (ran.returncode, ran.stdout, ran.stderr) == (66, "the end\n", "")
    assert log.suffix[1:].isdecimal()
    assert "threadproof race: 1 error\n" in log.read_text()


def test_a_prefix_is_taken_off_the_names_of_files_and_the_source_stays(tmp_path: Path) -> None:
    ran = race("--strip-path-prefix", f"{tmp_path.parent}/")
    assert ran.stderr.startswith(f"{tmp_path.name}/app.py:6: error: lost-update")
    assert "        box.n += 1\n        ^^^^^" in ran.stderr


def test_history_is_how_many_calls_are_shown(program: Path) -> None:
    program.write_text(PROGRAM.replace("box.n += 1", "deeper(8)").replace(
        "def bump", "def deeper(n):\n    if n: return deeper(n - 1)\n    box.n += 1\ndef bump"
    ))  # fmt: skip
    assert race().stderr.count("in deeper") == 2 * 9
    few = race("--history", "3").stderr
    assert few.count("in deeper") == 2 * 3
    assert "one were started" in few or "two were started" in few


def test_github_gets_an_annotation() -> None:
    ran = race("--github")
    assert "\n::error file=app.py,line=6,title=lost-update,col=5,endColumn=9::Box.n is read" in ran.stderr


def test_colour_is_asked_for_by_force_color_and_refused_by_no_color() -> None:
    assert "\x1b[1;31merror" in race(FORCE_COLOR="1").stderr
    assert "\x1b" not in race(FORCE_COLOR="1", NO_COLOR="1").stderr


# --- options from the environment ---


def test_the_command_line_wins_over_the_environment() -> None:
    assert race(THREADPROOF_RACE="history=2:severity=error").returncode == 66
    assert race("--exclude", "app", THREADPROOF_RACE="exclude=x").returncode == 0
    bad = race(THREADPROOF_RACE="severity=fatal")
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("arguments", [("--severity", "fatal"), ("--history", "x"), ("--no-such-option",)])
def test_a_bad_option_is_one_line(arguments: tuple[str, ...]) -> None:
    ran = race(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)


# --- the end ---


def test_the_first_race_ends_the_program_when_asked_to() -> None:
    ran = race("--halt-on-error")
    assert (ran.returncode, ran.stdout) == (66, "")
    assert "threadproof race: 1 error\n" in ran.stderr


def test_a_race_that_does_not_count_ends_nothing() -> None:
    Path("races.txt").write_text("variable:Box.n\n")
    assert silent(race("--halt-on-error", "--suppressions", "races.txt"))


def test_lint_lists_what_the_run_never_reached(program: Path) -> None:
    program.write_text(
        PROGRAM
        + "def late(names):\n    for n in names:\n        threading.Thread(target=lambda: print(n)).start()\n"
    )
    ran = race("--lint")
    assert "1 finding never reached by this run" in ran.stderr
    assert "app.py:13:47: CM301" in ran.stderr
