"""What is printed, drawn and written into pages, from rows made by hand."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from threadproof.bench import plot, results, tables, targets
from threadproof.bench.pages import NoMarkerError, replace_between
from threadproof.bench.passes import together
from threadproof.bench.results import Figure, Result, Row
from threadproof.bench.targets import Cell
from threadproof.bench.workloads import Scene

ONE, TWO = Scene(), Scene(threads=2)
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
RESULT = Result(MACHINE, ROWS, [Figure("worst pause, ms", "HashMap", 1_000, 1, 0.5, [0.5, 0.7])])


def test_a_cell_has_the_minimum_without_the_loop_and_the_ratio() -> None:
    table = tables.scene_table(ROWS[:6])
    assert "| read  | 100.0 1.00x | ~20.0 5.00x | -    |" in table
    assert "| write | 50.0 1.00x  | 100.0 0.50x | -    |" in table


def test_a_row_lost_in_noise_has_no_figure() -> None:
    assert tables.cell(ROWS[7], ROWS[6]) == "?"


def test_the_report_says_loops_gains_and_who_took_no_part() -> None:
    report = tables.report(ROWS)
    assert "### 1 thread, int keys, fresh, immortal values, n=1,000" in report
    assert "ns of the loops, taken off: read 5.0, write 5.0" in report
    assert "1.02x" in report
    assert "- peer: crashed: SIGSEGV (read, write)" in report


def test_losses_are_named_worst_first() -> None:
    assert [(ratio, own.workload, best.rival) for ratio, own, best in tables.losses(ROWS, "HashMap")] == [
        (0.5, "write", "dict + Lock")
    ]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results.save(RESULT, tmp_path / "out.json")
    assert results.load(tmp_path / "out.json") == RESULT


def test_fewer_samples_keep_the_least_the_median_and_the_most() -> None:
    (row,) = results.fewer_samples([Row("read", "dict", ONE, 1, list(range(101, 0, -1)))])
    assert len(row.samples) <= 8
    assert (min(row.samples), row.median, max(row.samples)) == (1, 51.0, 101)


def test_the_row_of_several_processes_is_the_best_of_them_unless_one_had_a_problem() -> None:
    rows = [
        Row("read", "dict", TWO, 10, [30, 50], 10, [70], 10, 20),
        Row("read", "dict", TWO, 10, [40, 20], 15, [60, 90], 10, 25),
    ]
    both = together(rows)
    assert (both.samples, both.loop, both.alone, both.alone_loop) == ([30, 50, 40, 20], 10, [70, 60, 90], 20)
    assert together([*rows, Row("read", "dict", TWO, problem="hung")]).problem == "hung"


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


def test_a_page_is_changed_between_its_markers_only() -> None:
    page = "above\n<!-- a -->\nold\n<!-- end of a -->\nbelow\n"
    assert replace_between(page, "a", "new") == "above\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nbelow\n"
    with pytest.raises(NoMarkerError, match="wants the lines <!-- b --> and <!-- end of b -->"):
        replace_between(page, "b", "new")


# --- targets ---


CELLS = [
    Cell("read", "int", 1.1, True, 1.05),
    Cell("read", "str", 0.8, True, 0.9),
    Cell("gain", "int", 1.9, False, 1.95),
]


def test_a_target_is_met_when_all_its_cells_are() -> None:
    report = targets.report(CELLS)
    assert "| read   | <= 1.1 or <= 0.8 | 1.05 0.90 | 0.90 (str) | MISSED in 1 of 2 |" in report
    assert "| gain   | >= 1.9           | 1.95      | 1.95 (int) | met              |" in report
    assert "- read: str: 0.90, target <= 0.8" in report
    assert report.endswith("1 of 2 targets met")


def test_a_figure_lost_in_noise_meets_no_target() -> None:
    noisy = targets.time_ratio(ROWS[7], ROWS[6])
    assert not Cell("read", "int", 1.1, True, noisy).met
    assert not Cell("gain", "int", 1.9, False, noisy).met
    assert "| nan (int) | MISSED in 1 of 1 |" in targets.report([Cell("read", "int", 1.1, True, noisy)])


def test_targets_are_read_as_they_were_written() -> None:
    assert targets.from_json(targets.to_json(MACHINE, CELLS)) == CELLS


def test_who_is_ahead_of_the_best_peer_is_ahead_of_all_and_dict_is_none() -> None:
    rows = [
        Row("read", "HashMap", ONE, 100, [2_000]),
        Row("read", "dict", ONE, 100, [1_000]),
        Row("read", "slow", ONE, 100, [8_000]),
        Row("read", "quick", ONE, 100, [4_000]),
    ]
    (cell,) = targets.against_peers("HashMap", rows)
    assert (cell.label, cell.figure, cell.met) == ("read: int, n=1,000, 1 thread; quick", 2.0, True)
