"""Files that cannot be linted, or are not as most files are: one line for each, and the rest goes on."""

from __future__ import annotations

import json
import linecache
import os
from pathlib import Path

import pytest

from threadproof.cli import main

Captured = pytest.CaptureFixture[str]

FAULT = (
    "import threading\nlock = threading.Lock()\n\ndef f():\n    lock.acquire(timeout=1)\n    lock.release()\n"
)
FOUND = "CM213"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    linecache.clearcache()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zz_good.py").write_text(FAULT)
    return tmp_path


def lint(capsys: Captured, *arguments: str) -> list[str]:
    main(["lint", "--output-format", "concise", "--select", FOUND, *(arguments or ["."])])
    return capsys.readouterr().out.splitlines()


def file_names(lines: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in lines]


UNREADABLE = {
    "syntax.py": (b"def f(:\n", "syntax error: invalid syntax"),
    "wrong.py": (b'x = "\xe9"\n', "cannot be decoded"),
    "unknown.py": (b"# coding: klingon\n", "unknown encoding: klingon"),
    "null.py": (b"x = 1\0\n", "null bytes"),
    "nested.py": (b"x = " + b"(" * 300 + b"1" + b")" * 300, "too many nested parentheses"),
    "minus.py": (b"x = " + b"-" * 20000 + b"1\n", "cannot be parsed"),
    "long.py": (b"x = " + b"a." * 9000 + b"b\n", "cannot be parsed"),
    "large.py": (b"x = 1\n" * 400_000, "2.3 MB is more than max-file-size (2 MB)"),
    "broken.ipynb": (b"{", "is no notebook"),
    "list.ipynb": (b"[]", "is no notebook"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_linted_is_one_line(name: str, folder: Path, capsys: Captured) -> None:
    data, words = UNREADABLE[name]
    (folder / name).write_bytes(data)
    first, second = lint(capsys)
    assert first.startswith(name)
    assert words in first
    assert second.startswith("zz_good.py")


def test_such_a_file_alone_sets_the_exit_code(folder: Path, capsys: Captured) -> None:
    (folder / "syntax.py").write_text("def f(:\n")
    assert main(["lint", "syntax.py"]) == 2


def test_a_link_to_nothing_and_a_pipe_are_one_line_each(folder: Path, capsys: Captured) -> None:
    (folder / "dangling.py").symlink_to("nowhere.py")
    os.mkfifo(folder / "pipe.py")  # to read it would wait for ever
    (folder / "folder.py").mkdir()
    assert lint(capsys)[:2] == [
        "dangling.py: cannot be read: No such file or directory",
        "pipe.py: is no regular file",
    ]


def test_links_that_lead_back_are_followed_once(folder: Path, capsys: Captured) -> None:
    (folder / "loop").symlink_to(".")
    (folder / "inner").mkdir()
    (folder / "inner" / "up").symlink_to("..")
    assert file_names(lint(capsys)) == ["zz_good.py"]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + FAULT.encode(),
        b"# -*- coding: latin-1 -*-\nname = '\xe9'\n" + FAULT.encode(),
        FAULT.replace("\n", "\r\n").encode(),
        FAULT.replace("\n", "\r").encode(),
        FAULT.encode() + b"\x0c\nclass \xc3\x89t\xc3\xa9: pass",
    ],
    ids=["mark", "latin", "crlf", "cr", "unicode"],
)
def test_encodings_and_line_ends(data: bytes, folder: Path, capsys: Captured) -> None:
    (folder / "a.py").write_bytes(data)
    assert file_names(lint(capsys)) == ["a.py", "zz_good.py"]


def test_an_empty_file_and_a_stub_have_nothing(folder: Path, capsys: Captured) -> None:
    (folder / "empty.py").touch()
    (folder / "zz_good.pyi").write_text("import threading\nlock: threading.Lock\ndef f() -> None: ...\n")
    assert file_names(lint(capsys)) == ["zz_good.py"]


def test_imports_in_a_circle(folder: Path, capsys: Captured) -> None:
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("from pkg import a\nfrom pkg import *\n")
    (folder / "pkg" / "a.py").write_text("from pkg.b import B\nclass A(B):\n    pass\n")
    (folder / "pkg" / "b.py").write_text(
        "from pkg.a import A\nclass B(A):\n    pass\nclass C(C):\n    pass\n"
    )
    assert file_names(lint(capsys)) == ["zz_good.py"]


def test_a_notebook_names_the_cell(folder: Path, capsys: Captured) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!ls\n", "import threading\n"]},
        {"cell_type": "code", "source": "%%bash\nfor x in *; do echo; done"},
        {"cell_type": "code", "source": FAULT},
    ]
    (folder / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert lint(capsys, "a.ipynb")[0].endswith("(cell 3, line 5)")


def test_a_file_that_is_gone_for_a_moment_is_linted_by_the_next_run(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadproof.lint import engine

    parse_loaded, file = engine.parse_loaded, folder / "zz_good.py"

    def gone(one: engine.Loaded) -> engine.Parsed:
        file.rename(folder / "kept")
        parsed = parse_loaded(one)
        (folder / "kept").rename(file)
        return parsed

    with monkeypatch.context() as patch:
        patch.setattr(engine, "parse_loaded", gone)
        assert main(["lint", "zz_good.py"]) == 2
    assert "zz_good.py: cannot be read: No such file" in "".join(capsys.readouterr())
    (line,) = lint(capsys, "zz_good.py")
    assert FOUND in line


def test_a_file_that_changes_meanwhile_is_not_written(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadproof.lint import run

    late = "import threading\nfor n in 'ab':\n    threading.Thread(target=lambda: print(n)).start()\n"
    (folder / "late.py").write_text(late)
    write = run.write_text

    def other_editor_first(path: str, before: str, after: str) -> None:
        (folder / "late.py").write_text("x = 1\n")
        write(path, before, after)

    monkeypatch.setattr(run, "write_text", other_editor_first)
    assert main(["lint", "--fix", "late.py", "--output-format", "concise"]) == 1
    assert capsys.readouterr().out.startswith("late.py: has changed meanwhile, and is left as it is\n")
    assert (folder / "late.py").read_text() == "x = 1\n"
