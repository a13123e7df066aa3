"""`threadproof race`: its output and its exit code.

`python -m tests.race.test_race_command` writes its output for the example into the pages that show it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from tests.kit.watched import without_summary
from threadproof import _core

ROOT = Path(__file__).parents[2]
COUNTER = "examples/race/counter.py"
PAGES = [ROOT / "README.md", ROOT / "docs" / "race.md"]
SUPPORTED = hasattr(_core, "race")

RACY = """
import threading, sys
class Box: n = 0
box = Box()
def bump():
    box.n += 1
threads = [threading.Thread(target=bump, name=name) for name in ("one", "two")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "threadproof", "race", *map(str, arguments)]
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    ran.stderr = without_summary(ran.stderr)
    return ran


def report_of_the_example() -> str:
    return run(COUNTER).stderr.split("\n\n")[0]


def with_gates_exchanged(report: str) -> str:
    """The output if the other thread comes first; the example does not determine which one does."""
    other = {"north": "south", "south": "north"}
    return re.sub("north|south", lambda gate: other[gate[0]], report)


if SUPPORTED:

    def test_the_example_is_reported_with_both_stacks() -> None:
        ran = run(COUNTER)
        assert ran.returncode == 66
        assert ran.stdout.endswith(" visits\n")
        assert ran.stderr.count(f"{COUNTER}:11, in Page.visit") == 2
        assert f"{COUNTER}:11: error: lost-update: Page.visits" in ran.stderr
        assert f"the Page was made by MainThread:\n    {COUNTER}:19, in <module>\n" in ran.stderr
        started = "south gate and north gate were started by MainThread"
        assert started in ran.stderr or started in with_gates_exchanged(ran.stderr)
        assert ran.stderr.endswith("threadproof race: 1 error\n")

    @pytest.mark.parametrize("page", PAGES, ids=str)
    def test_a_page_shows_what_the_example_prints(page: Path) -> None:
        text, report = page.read_text(encoding="utf-8"), report_of_the_example()
        assert any(f"```\n{each}\n```" in text for each in (report, with_gates_exchanged(report)))

    def test_code_is_watched_and_sees_its_own_arguments() -> None:
        ran = run("-c", f"{RACY}\nprint(sys.argv)", "--severity", "x")
        assert ran.returncode == 66
        assert ran.stdout == "['-c', '--severity', 'x']\n"

    def test_a_module_is_watched(tmp_path: Path) -> None:
        (tmp_path / "bank.py").write_text(RACY)
        ran = run("-m", "bank", cwd=tmp_path)
        assert ran.returncode == 66
        assert "bank.py:6: error: lost-update: Box.n" in ran.stderr

    def test_what_runs_at_exit_is_watched_and_comes_after_its_registration(tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text(
            "import atexit, os, threading\n"
            "class Box: before = after = 0\n"
            "box = Box()\n"
            "registered, go_on = os.pipe(), os.pipe()\n"
            "def work():\n"
            "    box.before = 1\n"
            "    atexit.register(last)\n"
            "    box.after = 1\n"
            "    os.write(registered[1], b'.')  # which orders nothing in the detector's eyes\n"
            "    os.read(go_on[0], 1)\n"
            "def last():\n"
            "    box.before = box.after = 2\n"
            "threading.Thread(target=work, daemon=True).start()\n"
            "os.read(registered[0], 1)\n"
        )
        ran = run(tmp_path / "app.py")
        assert ran.returncode == 66
        assert re.findall(r"app.py:\d+: .*: (Box.\w+)", ran.stderr) == ["Box.after"]

    @pytest.mark.parametrize("option", ["--json", "--write-baseline", "--log-path"])
    def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, option: str) -> None:
        ran = run(option, tmp_path / "no" / "races", COUNTER)
        assert ran.returncode == 2
        assert ran.stdout == ""  # it is refused before the program runs
        assert ran.stderr.splitlines()[-1].startswith(f"threadproof race: cannot write '{tmp_path}/no/races")
        assert "Traceback" not in ran.stderr

    def test_a_program_without_a_race_exits_as_it_likes(tmp_path: Path) -> None:
        (tmp_path / "clean.py").write_text(
            "import sys, threading\nthreading.Thread(target=print).start()\nsys.exit(7)\n"
        )
        ran = run(tmp_path / "clean.py")
        assert (ran.returncode, ran.stdout, ran.stderr) == (7, "\n", "")

    def test_a_race_below_the_chosen_severity_leaves_the_exit_code_alone(tmp_path: Path) -> None:
        flag = tmp_path / "flag.py"
        flag.write_text(RACY.replace("box.n += 1", "box.n = 1"))
        assert run(flag).returncode == 66
        assert run("--severity", "error", flag).returncode == 0

    def test_an_exception_is_shown_as_without_us(tmp_path: Path) -> None:
        (tmp_path / "raises.py").write_text("def f():\n    1 / 0\nf()\n")
        with_us = run(tmp_path / "raises.py")
        without = subprocess.run(
            [sys.executable, tmp_path / "raises.py"], capture_output=True, text=True, timeout=PATIENCE
        )
        assert (with_us.returncode, with_us.stderr) == (without.returncode, without.stderr)

    def test_libraries_are_watched_only_when_included(tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            "import random, threading\n"
            "threads = [threading.Thread(target=random.gauss) for _ in range(2)]\n"
            "for thread in threads: thread.start()\n"
            "for thread in threads: thread.join()\n"
        )
        assert run(program).returncode == 0
        assert "Random.gauss_next" in run("--include", "random", program).stderr

    def test_json_and_sarif_say_the_same(tmp_path: Path) -> None:
        ran = run("--json", tmp_path / "races.json", "--sarif", tmp_path / "races.sarif", COUNTER)
        assert ran.returncode == 66
        (finding,) = json.loads((tmp_path / "races.json").read_text())["findings"]
        (result,) = json.loads((tmp_path / "races.sarif").read_text())["runs"][0]["results"]
        assert finding["rule"] == result["ruleId"] == "lost-update"
        region = result["locations"][0]["physicalLocation"]["region"]
        assert [region[name] for name in ("startLine", "startColumn", "endColumn")] == [11, 9, 20]
        assert result["partialFingerprints"] == {"threadproof/v1": finding["fingerprint"]}
        assert len(result["codeFlows"][0]["threadFlows"]) == 4

    @pytest.mark.parametrize("taken", [range(5), range(1, 6), [4, 3]])
    def test_any_free_tool_of_sys_monitoring_will_do(taken: Iterable[int]) -> None:
        program = (
            "import sys, threading\nfrom threadproof.race import detect\n"
            f"for tool in {[*taken]}: sys.monitoring.use_tool_id(tool, 'rival')\n"
            "class Box: n = 0\n"
            "def bump(): Box.n += 1\n"
            "threads = [threading.Thread(target=bump) for _ in range(2)]\n"
            "with detect(include=['<string>']) as detection:\n"
            "    for thread in threads: thread.start()\n"
            "    for thread in threads: thread.join()\n"
            "print([finding.rule for finding in detection.findings])\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
        )
        assert (ran.stdout, ran.stderr) == ("['lost-update']\n", "")

    def test_no_free_tool_of_sys_monitoring_is_a_clear_error() -> None:
        program = (
            "import sys\nfrom threadproof.race import detect\n"
            "for tool in range(6): sys.monitoring.use_tool_id(tool, 'rival')\n"
            "with detect(): pass\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
        )
        assert "UnsupportedError: all of sys.monitoring's tool ids are taken ('rival')" in ran.stderr

    def test_frames_that_are_read_wrongly_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
        from threadproof.probe import selftest

        wanted = selftest.expected(selftest.Canary(), [], {}, selftest.canary_function()[1])
        selftest.compare(wanted, wanted)
        with pytest.raises(selftest.SelfTestError, match="cannot read the frames"):
            selftest.compare([("load_attribute", object(), None), *wanted[1:]], wanted)
        with pytest.raises(
            selftest.SelfTestError, match=f"it saw {len(wanted) - 1} instructions of {len(wanted)}"
        ):
            selftest.compare(wanted[:-1], wanted)

    @pytest.mark.parametrize(
        ("function", "answer", "check"),
        [
            ("frames", [(compile("", "x", "exec"), 0)], "check_stack"),
            ("read_object", (None, False, None), "check_objects"),
        ],
    )
    def test_stacks_and_objects_that_are_read_wrongly_are_refused(
        monkeypatch: pytest.MonkeyPatch, function: str, answer: object, check: str
    ) -> None:
        from threadproof.probe import selftest

        monkeypatch.setattr(_core.probe, function, lambda *_: answer)
        with pytest.raises(selftest.SelfTestError, match="cannot read the frames"):
            getattr(selftest, check)()

    @pytest.mark.parametrize("start", ["thread.start()", "try: thread.start()\nexcept Exception: pass"])
    def test_a_program_whose_frames_are_not_understood_ends_with_2(start: str) -> None:
        program = f"import threading\nthread = threading.Thread(target=int)\n{start}"
        broken = (
            "import sys\nfrom threadproof import _core\nfrom threadproof.cli import main\n"
            "_core.probe.read_object = lambda *_: (None, False, None)\n"
            f"sys.exit(main(['race', '-c', {program!r}]))"
        )
        ran = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, timeout=PATIENCE)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith("threadproof race: the probe cannot read the frames")
        assert ran.stderr.count("\n") == 1

else:

    def test_an_older_interpreter_is_refused_with_the_way_out() -> None:
        ran = run(COUNTER)
        assert ran.returncode == 2
        assert "run it with python3.14t" in ran.stderr


def test_a_script_that_is_not_there_is_one_line() -> None:
    ran = run("nowhere.py")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "nowhere.py" in ran.stderr


if __name__ == "__main__":
    block = f"```\n{report_of_the_example()}\n```"
    for shown in PAGES:
        text = shown.read_text(encoding="utf-8")
        pattern = rf"```\n{re.escape(COUNTER)}.*?```"
        shown.write_text(re.sub(pattern, lambda _: block, text, flags=re.DOTALL), encoding="utf-8")
