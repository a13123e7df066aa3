"""Rows for pages, and the text between markers, from rows written here."""

from __future__ import annotations

import pytest

from pages.markers import NoMarkerError, replace_between
from pages.rows import fewer_samples, losses
from tests.bench.test_reports import ONE, ROWS
from threadproof.bench.results import Row


def test_losses_are_named_worst_first() -> None:
    assert [(ratio, own.workload, best.contender) for ratio, own, best in losses(ROWS, "HashMap")] == [
        (0.5, "write", "dict + Lock")
    ]


def test_fewer_samples_keep_the_least_the_median_and_the_most() -> None:
    (row,) = fewer_samples([Row("read", "dict", ONE, 1, list(range(101, 0, -1)))])
    assert len(row.samples) <= 8
    assert (min(row.samples), row.median, max(row.samples)) == (1, 51.0, 101)


def test_a_page_is_changed_only_between_its_markers() -> None:
    page = "above\n<!-- a -->\nold\n<!-- end of a -->\nbelow\n"
    assert replace_between(page, "a", "new") == "above\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nbelow\n"
    with pytest.raises(NoMarkerError, match="wants the lines <!-- b --> and <!-- end of b -->"):
        replace_between(page, "b", "new")
