"""The object and the threads in a report, besides the two accesses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

THREADS = """
import threading
def run(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def findings(tmp_path: Path, program: str) -> list[dict[str, Any]]:
    """What is found in the program, run in two threads by its last line; line 1 is the program's first."""
    (tmp_path / "threads.py").write_text(THREADS)
    (tmp_path / "app.py").write_text(program)
    command = [
        sys.executable,
        "-m",
        "threadproof",
        "race",
        "--severity",
        "note",
        "--json",
        "races.json",
        "app.py",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode in (0, 66), ran.stderr
    found: list[dict[str, Any]] = json.loads((tmp_path / "races.json").read_text())["findings"]
    return found


def told(finding: dict[str, Any], words: str) -> list[tuple[int, str]]:
    """(line, function) of the calls in the step that says the words."""
    (stack,) = (step["stack"] for step in finding["steps"] if words in step["what"])
    return [(place["line"], place["function"]) for place in stack]


def test_an_object_is_made_where_its_class_is_called_not_in_its_constructors(tmp_path: Path) -> None:
    (finding,) = findings(
        tmp_path,
        "import threads\n"
        "class Base:\n"
        "    def __init__(self): self.n = 0\n"
        "class Account(Base):\n"
        "    def __init__(self): super().__init__()\n"
        "def make(): return Account()\n"
        "account = make()\n"
        "def work(): account.n += 1\n"
        "threads.run(work, work)\n",
    )
    assert finding["subject"] == "Account.n"
    assert told(finding, "the Account was made by MainThread") == [(6, "make"), (7, "<module>")]


def test_an_object_made_by_a_thread_says_by_which(tmp_path: Path) -> None:
    (finding,) = findings(
        tmp_path,
        "import threading, threads\n"
        "class Box:\n"
        "    def __init__(self): self.n = 0\n"
        "boxes = []\n"
        "maker = threading.Thread(target=lambda: boxes.append(Box()), name='maker')\n"
        "maker.start()\n"
        "maker.join()\n"
        "def work(): boxes[0].n += 1\n"
        "threads.run(work, work)\n",
    )
    assert told(finding, "the Box was made by maker")[0] == (5, "<lambda>")


def test_an_address_that_is_used_again_is_another_object(tmp_path: Path) -> None:
    found = findings(
        tmp_path,
        "import threads\n"
        "class Noted:\n"
        "    def __init__(self): self.n = 0\n"
        "for _ in range(100): Noted()\n"
        "box = object.__new__(Noted)\n"
        "box.n = 0\n"
        "def work(): box.n += 1\n"
        "threads.run(work, work)\n",
    )
    assert [finding["subject"] for finding in found] == ["Noted.n"]
    assert not any("made" in step["what"] for step in found[0]["steps"])


def test_a_container_has_the_name_that_both_sides_call_it(tmp_path: Path) -> None:
    (finding,) = findings(
        tmp_path,
        "import threads\n"
        "class Registry:\n"
        "    def __init__(self): self.items = {}\n"
        "    def put(self, key):\n"
        "        if key not in self.items: self.items[key] = 'größe'\n"
        "registry = Registry()\n"
        "threads.run(lambda: registry.put(1), lambda: registry.put(1))\n",
    )
    assert finding["subject"] == "Registry.items"
    assert told(finding, "Registry.items is assigned only here") == [(3, "")]
    assert finding["message"].startswith("the item [1] of the dict Registry.items is checked")


def test_columns_count_characters(tmp_path: Path) -> None:
    (finding,) = findings(
        tmp_path,
        "import threads\nclass Box: n = 0\nbox = Box()\n"
        "def work(): 'größe'; box.n += 1\nthreads.run(work, work)\n",
    )
    assert (finding["place"]["column"], finding["place"]["end_column"]) == (21, 26)


@pytest.mark.parametrize(
    "wait", ["barrier.wait()", "event.wait(0.001)", "with condition: condition.wait(0.001)", "event.wait(0)"]
)
def test_a_thread_that_has_waited_holds_no_lock(tmp_path: Path, wait: str) -> None:
    (finding,) = findings(
        tmp_path,
        "import threading, threads\n"
        "class Box: n = 0\n"
        "box, barrier, event = Box(), threading.Barrier(2), threading.Event()\n"
        "condition = threading.Condition(threading.Lock())\n"
        f"def work():\n    {wait}\n    box.n += 1\n"
        "threads.run(work, work)\n",
    )
    accesses = [step["what"] for step in finding["steps"] if step["main"]]
    assert all(what.endswith("holding no lock") for what in accesses), accesses


def test_threads_that_were_started_at_two_places_have_a_step_each(tmp_path: Path) -> None:
    (finding,) = findings(
        tmp_path,
        "import threading\nclass Box: n = 0\nbox = Box()\ndef work(): box.n += 1\n"
        "one, two = threading.Thread(target=work, name='one'), threading.Thread(target=work, name='two')\n"
        "one.start()\ntwo.start()\none.join()\ntwo.join()\n",
    )
    assert told(finding, "one was started by MainThread") == [(6, "<module>")]
    assert told(finding, "two was started by MainThread") == [(7, "<module>")]
