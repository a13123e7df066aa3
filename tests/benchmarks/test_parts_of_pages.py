"""Rows for pages, and the text between markers, from rows written here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pages.benchmarks import NOT_PROMISED, losses_table, stored_runs
from pages.designs import LOCKED, SHARDED, scenario, table
from pages.markers import NoMarkerError, replace_between
from pages.rows import fewer_samples, losses
from tests.bench.test_reports import MACHINE, ONE, ROWS
from threadproof.bench import targets
from threadproof.bench.results import Result, Row
from threadproof.bench.targets import PEERS, Cell


def test_losses_are_named_worst_first() -> None:
    assert [(ratio, own.workload, best.contender) for ratio, own, best in losses(ROWS, "HashMap")] == [
        (0.5, "write", "dict + Lock")
    ]


def test_every_peer_has_the_promises_that_it_does_not_make() -> None:
    assert set(NOT_PROMISED) == PEERS
    text = losses_table(ROWS)
    assert NOT_PROMISED["dict + Lock"] in text
    assert "| write    | 1,000 int | 1       | 0.50                     | dict + Lock |" in text
    assert losses_table([row for row in ROWS if row.workload == "read"]) == "Nowhere, in this run."


def test_a_design_is_compared_with_another_in_the_scenarios_that_were_measured() -> None:
    rows = [
        Row("read", SHARDED.name, scenario(1_000, 2), 100, [2_000]),
        Row("read", LOCKED.name, scenario(1_000, 2), 100, [8_000]),
        Row("read", LOCKED.name, replace(scenario(1_000, 2), kind="str"), 100, [1]),
    ]
    first, _, row, *_ = table(Result(MACHINE, rows)).splitlines()
    assert [cell.strip() for cell in first.split("|")[3:-1]] == ["1,000 keys, 2 thr."]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["64 locks against one", "100/0", "4"]


def test_the_stored_runs_of_the_targets_are_columns(tmp_path: Path) -> None:
    machine = MACHINE | {"date": "2026-11-30 12:00", "commit": "abc"}
    cells = [Cell("read", "int", 1.1, True, 1.0), Cell("read", "str", 1.1, True, 1.2)]
    (tmp_path / "targets-1.json").write_text(targets.to_json(machine, cells))
    (tmp_path / "targets-2.json").write_text(targets.to_json(machine | {"commit": "def"}, cells[:1]))
    head, _, line = stored_runs(tmp_path).splitlines()
    assert [each.strip() for each in head.split("|")[1:-1]] == [
        "target",
        "2026-11-30 12:00, abc",
        "2026-11-30 12:00, def",
    ]
    assert [each.strip() for each in line.split("|")[1:-1]] == ["read", "1 of 2", "met"]


def test_fewer_samples_keep_the_least_the_median_and_the_most() -> None:
    (row,) = fewer_samples([Row("read", "dict", ONE, 1, list(range(101, 0, -1)))])
    assert len(row.samples) <= 8
    assert (min(row.samples), row.median, max(row.samples)) == (1, 51.0, 101)


def test_a_page_is_changed_only_between_its_markers() -> None:
    page = "above\n<!-- a -->\nold\n<!-- end of a -->\nbelow\n"
    assert replace_between(page, "a", "new") == "above\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nbelow\n"
    with pytest.raises(NoMarkerError, match="wants the lines <!-- b --> and <!-- end of b -->"):
        replace_between(page, "b", "new")
