"""Tables, results and pictures, from rows written here."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from threadproof.bench import plot, results, tables
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.scenario import Scenario

ONE, TWO = Scenario(), Scenario(threads=2)
MACHINE = {
    "python": "CPython",
    "gil": False,
    "cpus": 2,
    "processor": "a <fast> one",
    "packages": {"peer": "1.0"},
}
ROWS = [
    Row("read", "dict + Lock", ONE, 100, [12_000, 10_500], 500),
    Row("read", "HashMap", ONE, 100, [2_500, 3_100, 3_600], 500),
    Row("read", "peer", ONE, problem="crashed: SIGSEGV"),
    Row("write", "dict + Lock", ONE, 100, [5_500], 500),
    Row("write", "HashMap", ONE, 100, [10_500], 500),
    Row("write", "peer", ONE, problem="crashed: SIGSEGV"),
    Row("read", "dict + Lock", TWO, 100, [20_500], 500, [10_500], 100, 500),
    Row("read", "HashMap", TWO, 100, [450], 500, [2_500], 100, 500),
]
RESULT = Result(MACHINE, ROWS, [Measurement("worst pause, ms", "HashMap", 1_000, 1, 0.5, [0.5, 0.7])])


def test_a_cell_has_the_minimum_without_the_loop_and_the_ratio() -> None:
    table = tables.scenario_table(ROWS[:6])
    assert "| read  | 100.0 1.00x | ~20.0 5.00x | -    |" in table
    assert "| write | 50.0 1.00x  | 100.0 0.50x | -    |" in table


def test_a_row_lost_in_noise_has_no_value() -> None:
    assert tables.cell(ROWS[7], ROWS[6]) == "?"


def test_the_report_has_loops_gains_and_exclusions() -> None:
    report = tables.report(ROWS)
    assert "### 1 thread, int keys, fresh, immortal values, n=1,000" in report
    assert "ns of the empty loops, subtracted: read 5.0, write 5.0" in report
    assert "1.02x" in report
    assert "- peer: crashed: SIGSEGV (read, write)" in report


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results.save(RESULT, tmp_path / "out.json")
    assert results.load(tmp_path / "out.json") == RESULT


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="has format 1, and only format 2 can be read"):
        results.load(tmp_path / "out.json")


def test_a_picture_is_well_formed_and_has_a_mark_for_every_ratio() -> None:
    html = plot.html(RESULT)
    assert "a &lt;fast&gt; one" in html
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 2
    titles = [title.text for title in ElementTree.fromstring(pictures[0]).iter("title")]
    assert titles == [
        "dict + Lock, read: 1.00x",
        "HashMap, read: 5.00x",
        "dict + Lock, write: 1.00x",
        "HashMap, write: 0.50x",
    ]


def test_better_is_further_right() -> None:
    panel = plot.panels(RESULT)[0]
    assert plot.across(panel, 0.5) < plot.across(panel, 1) < plot.across(panel, 5)
    assert panel.ends == (0.5, 5)
