"""Targets, passes and the text between markers, from rows written here."""

from __future__ import annotations

import pytest

from pages import targets
from pages.markers import NoMarkerError, replace_between
from pages.passes import together
from pages.rows import fewer_samples, losses
from pages.targets import Cell
from tests.bench.test_reports import MACHINE, ONE, ROWS, TWO
from threadproof.bench.results import Row

CELLS = [
    Cell("read", "int", 1.1, True, 1.05),
    Cell("read", "str", 0.8, True, 0.9),
    Cell("gain", "int", 1.9, False, 1.95),
]


def test_losses_are_named_worst_first() -> None:
    assert [(ratio, own.workload, best.contender) for ratio, own, best in losses(ROWS, "HashMap")] == [
        (0.5, "write", "dict + Lock")
    ]


def test_fewer_samples_keep_the_least_the_median_and_the_most() -> None:
    (row,) = fewer_samples([Row("read", "dict", ONE, 1, list(range(101, 0, -1)))])
    assert len(row.samples) <= 8
    assert (min(row.samples), row.median, max(row.samples)) == (1, 51.0, 101)


def test_the_rows_of_several_processes_are_one_unless_one_had_a_problem() -> None:
    rows = [
        Row("read", "dict", TWO, 10, [30, 50], 10, [70], 10, 20),
        Row("read", "dict", TWO, 10, [40, 20], 15, [60, 90], 10, 25),
    ]
    both = together(rows)
    assert (both.samples, both.loop, both.alone, both.alone_loop) == ([30, 50, 40, 20], 10, [70, 60, 90], 20)
    assert together([*rows, Row("read", "dict", TWO, problem="hung")]).problem == "hung"


def test_a_page_is_changed_only_between_its_markers() -> None:
    page = "above\n<!-- a -->\nold\n<!-- end of a -->\nbelow\n"
    assert replace_between(page, "a", "new") == "above\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nbelow\n"
    with pytest.raises(NoMarkerError, match="wants the lines <!-- b --> and <!-- end of b -->"):
        replace_between(page, "b", "new")


def test_a_target_is_met_when_all_its_cells_are() -> None:
    report = targets.report(CELLS)
    assert "| read   | <= 1.1 or <= 0.8 | 1.05 0.90 | 0.90 (str) | MISSED in 1 of 2 |" in report
    assert "| gain   | >= 1.9           | 1.95      | 1.95 (int) | met              |" in report
    assert "- read: str: 0.90, target <= 0.8" in report
    assert report.endswith("1 of 2 targets met")


def test_a_value_lost_in_noise_meets_no_target() -> None:
    noisy = targets.time_ratio(ROWS[7], ROWS[6])
    assert not Cell("read", "int", 1.1, True, noisy).met
    assert not Cell("gain", "int", 1.9, False, noisy).met
    assert "| nan (int) | MISSED in 1 of 1 |" in targets.report([Cell("read", "int", 1.1, True, noisy)])


def test_targets_are_read_as_they_were_written() -> None:
    assert targets.from_json(targets.to_json(MACHINE, CELLS)) == CELLS


def test_the_best_peer_counts_and_dict_is_no_peer() -> None:
    rows = [
        Row("read", "HashMap", ONE, 100, [2_000]),
        Row("read", "dict", ONE, 100, [1_000]),
        Row("read", "slow", ONE, 100, [8_000]),
        Row("read", "quick", ONE, 100, [4_000]),
    ]
    (cell,) = targets.against_peers("HashMap", rows)
    assert (cell.label, cell.value, cell.met) == ("read: int, n=1,000, 1 thread; quick", 2.0, True)
