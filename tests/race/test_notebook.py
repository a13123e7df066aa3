"""`%%race` and the report of a Detection, as a notebook uses them.

The shell here has IPython's functions that the extension calls, and runs a cell as IPython does: under a name
that is in no file, or as ipykernel under that of a file that does not exist.
"""

from __future__ import annotations

import linecache
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

from threadproof.race import Detection, load_ipython_extension

RACY = textwrap.dedent("""
    import threading
    class Box: n = 0
    def bump():
        for _ in range(50): Box.n += 1  # <here>
    def race():
        threads = [threading.Thread(target=bump) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
""")


class Shell:
    """Cells share a namespace; each is compiled under a name of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.magics: dict[str, Callable[[str, str], object]] = {}

    def register_magic_function(self, function: Callable[[str, str], object], magic_kind: str) -> None:
        assert magic_kind == "cell"
        self.magics[function.__name__] = function

    def run_cell(self, cell: str) -> None:
        linecache.cache[self.name] = len(cell), None, cell.splitlines(keepends=True), self.name
        exec(compile(cell, self.name, "exec", dont_inherit=True), self.names)

    def magic(self, name: str, line: str, cell: str) -> Detection:
        result = self.magics[name](line, cell)
        assert isinstance(result, Detection)
        return result


@pytest.fixture(params=["<ipython-input-3-0123456789ab>", "/tmp/ipykernel_1234/567890.py"])
def shell(request: pytest.FixtureRequest) -> Shell:
    made = Shell(request.param)
    load_ipython_extension(made)
    return made


def test_a_cell_is_run_and_its_races_are_shown(shell: Shell) -> None:
    detection = shell.magic("race", "", RACY + "race(); answer = 42")
    assert shell.names["answer"] == 42
    (finding,) = detection.findings
    assert (finding.rule, finding.subject, finding.place.file) == ("lost-update", "Box.n", shell.name)
    assert "lost-update: Box.n" in str(detection)


def test_functions_of_an_earlier_cell_are_watched(shell: Shell) -> None:
    shell.run_cell(RACY)
    assert [finding.subject for finding in shell.magic("race", "", "race()").findings] == ["Box.n"]


def test_a_cell_without_races_says_what_was_watched(shell: Shell) -> None:
    detection = shell.magic("race", "", RACY + "threading.Thread(target=bump).start()")
    assert detection.findings == []
    assert "nothing found; watched" in str(detection)


def test_the_page_of_a_report_has_its_lines_and_no_markup_of_the_program(shell: Shell) -> None:
    page = shell.magic("race", "", RACY + "race()")._repr_html_()
    assert page.startswith("<pre>")
    assert page.endswith("</pre>")
    assert "lost-update: Box.n" in page
    assert "&lt;here&gt;" in page
    assert "<here>" not in page


def test_the_line_names_packages_to_include(shell: Shell) -> None:
    cell = RACY + "import colorsys\nthread = threading.Thread(target=colorsys.rgb_to_hsv, args=(0, 0, 0))\n"
    detection = shell.magic("race", "colorsys", cell + "thread.start(); thread.join()")
    assert "colorsys" in sys.modules
    assert detection.watched
