"""`threadproof bench` from the command line, at tiny sizes. No test asserts a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kit.hammer import PATIENCE
from threadproof.bench.results import load

TINY = ("--size", "100", "--operations", "200", "--quick")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "threadproof", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_table_has_a_row_for_each_workload_and_a_column_for_each_map(tmp_path: Path) -> None:
    done = bench("read", "95/5 new", "--maps", "dict + Lock,HashMap", *TINY, "--json", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| read ") == 3  # one thread, two threads, what two gain
    assert "1 thread, int keys, fresh, heap values, n=100" in done.stdout
    rows = load(tmp_path / "out").rows
    assert {(row.workload, row.contender, row.scenario.threads) for row in rows} == {
        (workload, contender, threads)
        for workload in ("read", "95/5 new")
        for contender in ("dict + Lock", "HashMap")
        for threads in (1, 2)
    }


def test_every_map_of_this_package_is_measured_unless_some_are_chosen() -> None:
    done = bench("read", "--threads", "1", *TINY)
    for name in ("dict + Lock", "64 dicts + Locks", "HashMap", "LockedMap", "ShardedMap", "SnapshotMap"):
        assert f"| {name} " in done.stdout


def test_the_results_can_be_compared_by_pyperf(tmp_path: Path) -> None:
    bench("read", "--maps", "dict", "--threads", "1", *TINY, "--pyperf", str(tmp_path / "out"))
    suite = json.loads((tmp_path / "out").read_text())
    assert suite["version"] == "1.0"
    assert suite["benchmarks"][0]["runs"][0]["values"]


def test_bad_usage_lists_what_exists() -> None:
    for arguments, message in (
        (["dance"], "no workload 'dance'; there are read, "),
        (["--maps", "Dance"], "no map 'Dance'; there are dict, "),
        (["--maps", "nowhere:Map"], "cannot load 'nowhere:Map'"),
        (["--keys", "list"], "no keys of kind 'list'; there are int, "),
        (["--threads", "0"], "wants a whole number from 1 on, such as 1000 or 1e6, got '0'"),
    ):
        done = bench(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_wrong_answer_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "class Map(dict):\n"
        "    def __setitem__(self, key, value):\n"
        "        super().__setitem__(key, 'wrong' if key in self else value)\n"
    )
    command = [
        sys.executable,
        "-m",
        "threadproof",
        "bench",
        "write",
        "--maps",
        "wrong:Map",
        "--threads",
        "1",
        *TINY,
    ]
    done = subprocess.run(
        command,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "WRONG" in done.stdout
