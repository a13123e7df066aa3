"""`threadproof demo` through its public door: main() with arguments, and the command as a process."""

from __future__ import annotations

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from threadproof.cli import main
from threadproof.cli.progress import Progress
from threadproof.demo import concordance
from threadproof.maps import HashMap

Tree = pathlib.Path
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    """Two files of text in two directories, and one of each kind that is skipped."""
    (tmp_path / "package").mkdir()
    (tmp_path / "one.py").write_text("apple = pear(apple, 3)  # apple_2 été\n", encoding="utf-8")
    (tmp_path / "package" / "two.txt").write_text("Apple pear\npear 7up\n")
    (tmp_path / "zero.bin").write_bytes(b"apple\0apple")
    (tmp_path / "latin.txt").write_bytes("été".encode("latin-1"))
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "one.txt").write_text("apple")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("apple")
    return tmp_path


def demo_json(capsys: Captured, *arguments: str) -> dict[str, Any]:
    assert main(["demo", "--json", *arguments]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_every_word_and_identifier_is_counted_with_its_files(tree: Tree, capsys: Captured) -> None:
    report = demo_json(capsys, str(tree))
    found = {word["word"]: (word["count"], word["files"]) for word in report["most_frequent"]}
    assert found == {"pear": (3, 2), "apple": (2, 1), "Apple": (1, 1), "apple_2": (1, 1), "été": (1, 1)}
    assert (report["words"], report["distinct"]) == (8, 5)


def test_words_are_listed_by_number_and_then_by_name(tree: Tree, capsys: Captured) -> None:
    report = demo_json(capsys, str(tree))
    assert [word["word"] for word in report["most_frequent"]] == ["pear", "apple", "Apple", "apple_2", "été"]
    assert [word["word"] for word in report["in_most_files"]] == ["pear", "Apple", "apple", "apple_2", "été"]


def test_binary_and_unreadable_files_are_skipped_and_counted(tree: Tree, capsys: Captured) -> None:
    report = demo_json(capsys, str(tree))
    assert (report["files"], report["binary"], report["unreadable"]) == (2, 2, 1)


def test_a_pipe_is_unreadable_and_never_waited_for(tree: Tree, capsys: Captured) -> None:
    os.mkfifo(tree / "pipe")
    assert demo_json(capsys, str(tree))["unreadable"] == 2


def test_hidden_and_generated_directories_are_left_out(tree: Tree, capsys: Captured) -> None:
    assert demo_json(capsys, str(tree))["files"] == 2


def test_a_single_file_is_a_tree_too(tree: Tree, capsys: Captured) -> None:
    assert demo_json(capsys, str(tree / "one.py"))["words"] == 5


def test_json_has_every_part_of_the_report(tree: Tree, capsys: Captured) -> None:
    report = demo_json(capsys, str(tree), "--threads", "3")
    assert [(row["way"], row["threads"]) for row in report["timings"]] == [
        ("dict", 1),
        ("dict + Lock", 3),
        ("HashMap", 3),
    ]
    assert report["timings"][0]["speedup"] == 1.0
    assert all(row["seconds"] > 0 and row["speedup"] > 0 for row in report["timings"])
    assert report["equal_to_dict"] is True
    assert report["gil"] is getattr(sys, "_is_gil_enabled", lambda: True)()
    assert report["path"] == str(tree)
    assert report["python"].split()[1] == sys.version.split()[0]


def test_the_text_has_what_was_skipped_checked_and_timed(tree: Tree, capsys: Captured) -> None:
    assert main(["demo", str(tree)]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    for part in ("8 words, 5 different, in 2 files", "2 binary files, 1 unreadable", "Checked: every way",
                 "dict + Lock", "speed-up", "the GIL is", "Timed: "):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_any_number_of_threads_gives_the_same_concordance(tree: Tree, capsys: Captured, threads: str) -> None:
    report = demo_json(capsys, str(tree), "--threads", threads)
    assert report["words"] == 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["no/such/place"], "no file or directory at 'no/such/place'"),
        (["--threads", "0"], "argument --threads: wants a whole number from 1 to 256, got '0'"),
        (["--threads", "many"], "argument --threads: wants a whole number from 1 to 256, got 'many'"),
        (["--threads"], "argument --threads: expected one argument"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments: list[str], reason: str) -> None:
    done = threadproof("demo", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"threadproof demo: {reason}")
    assert done.stderr.count("\n") == 1


def test_a_tree_without_words_is_bad_usage_and_lists_its_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "numbers.txt").write_text("1 2 3")
    done = threadproof("demo", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        f"threadproof demo: no words to count at {str(tmp_path)!r}: 1 text files, 0 binary, 0 unreadable\n"
    )


def threadproof(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "threadproof", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_command_runs_in_a_process_of_its_own(tree: Tree) -> None:
    done = threadproof("demo", str(tree), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["words"] == 8


def test_a_closed_output_ends_the_command_without_a_message(tree: Tree) -> None:
    command = [sys.executable, "-m", "threadproof", "demo", str(tree)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=PATIENCE) == 141


class ForgetfulMap(HashMap[str, int]):
    """Loses one update, as an unlocked dict could."""

    def count_many(self, keys: Any, delta: int = 1) -> None:
        super().count_many(list(keys)[1:], delta)


def test_a_lost_update_fails_loudly(tree: Tree, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concordance, "HashMap", ForgetfulMap)
    assert main(["demo", str(tree)]) == 1
    text, errors = capsys.readouterr()
    assert text == ""
    assert errors.startswith("threadproof demo: WRONG ANSWER: HashMap, ")
    assert "apple" in errors.lower()


@pytest.mark.parametrize("threads", ["1", "3"])
def test_ctrl_c_ends_the_threads_and_the_command(
    tree: Tree, capsys: Captured, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    unsent = threading.Lock()

    class InterruptedMap(HashMap[str, int]):
        """Sends the process one Ctrl-C from the middle of the work."""

        def count_many(self, keys: Any, delta: int = 1) -> None:
            if unsent.acquire(blocking=False):
                os.kill(os.getpid(), signal.SIGINT)
            super().count_many(keys, delta)

    monkeypatch.setattr(concordance, "HashMap", InterruptedMap)
    before = set(threading.enumerate())
    assert main(["demo", str(tree), "--threads", threads]) == 130
    assert capsys.readouterr().err.strip() == "threadproof demo: interrupted"
    for worker in set(threading.enumerate()) - before:
        if worker.ident is None:
            continue  # the interrupt came in the middle of its start(), which then never ran it
        worker.join(timeout=PATIENCE)
        assert not worker.is_alive()


def test_an_error_in_a_worker_thread_reaches_the_caller(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenMap(HashMap[str, int]):
        def count_many(self, keys: Any, delta: int = 1) -> None:
            raise MemoryError("no room for words")

    monkeypatch.setattr(concordance, "HashMap", BrokenMap)
    with pytest.raises(MemoryError, match="no room for words"):
        main(["demo", str(tree)])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_over_itself_on_a_terminal_and_taken_away() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.begin("reading", 10)
    progress.show(5)
    progress.clear()
    assert "reading" in terminal.getvalue()
    assert "5 of 10 files" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_progress_is_silent_off_a_terminal_and_when_asked_to_be(stream: io.StringIO, quiet: bool) -> None:
    progress = Progress(stream, quiet=quiet)
    progress.begin("reading", 10)
    progress.show(5)
    progress.clear()
    assert stream.getvalue() == ""
