"""Colour, marked columns, and names of files in reports."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.findings.examples import EXAMPLES
from threadproof.findings import Place, summary
from threadproof.findings.formats.text import COLOUR, PLAIN, Style, style_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "style"),
    [
        (Terminal(), {}, COLOUR),
        (io.StringIO(), {}, PLAIN),
        (Terminal(), {"NO_COLOR": "1"}, PLAIN),
        (Terminal(), {"NO_COLOR": ""}, COLOUR),
        (io.StringIO(), {"FORCE_COLOR": "1"}, COLOUR),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, PLAIN),
    ],
)
def test_colour_is_for_terminals_unless_it_is_not_wanted(
    stream: io.StringIO, environment: dict[str, str], style: Style
) -> None:
    assert style_for(stream, environment) is style


def test_the_summary_counts_findings_by_severity_and_suppressed_ones_apart() -> None:
    assert summary(EXAMPLES) == "1 error, 1 warning, 1 note, 1 suppressed"
    assert summary(EXAMPLES[:1] * 2) == "2 errors"
    assert summary([]) == "nothing found"


def test_columns_outside_the_line_are_not_marked(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("    x = 1\n")
    file = str(tmp_path / "a.py")
    assert Place(file, 1, "", 4, 5).marked() == (4, 5)
    assert Place(file, 1, "", 2, 5).marked() is None
    assert Place(file, 1, "", 4, 99).marked() is None
    assert Place(file, 1, "", 4).marked() is None


def test_a_file_far_from_here_keeps_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert Place(str(tmp_path / "a" / "b" / "x.py"), 1).path() == "x.py"
    assert Place(str(tmp_path / "a" / "x.py"), 1).path() == "../x.py"
    assert Place(str(tmp_path / "x.py"), 1).path() == str(tmp_path / "x.py")
