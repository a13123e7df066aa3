"""Percentiles: the histogram keeps two digits; an open loop counts the waiting that a closed one hides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from threadproof.bench import loops
from threadproof.bench.contenders import DICT
from threadproof.bench.latency import CLOSED, OPEN, PERCENTILES, Histogram, bucket, percentiles
from threadproof.bench.scenario import Scenario


@pytest.mark.parametrize("value", [0, 1, 127, 128, 129, 255, 256, 1_000, 123_456, 10**9])
def test_a_bucket_is_never_below_its_values_and_at_most_a_sixtieth_above(value: int) -> None:
    assert value <= bucket(value) <= value * (1 + 1 / 60) + 1
    assert bucket(bucket(value)) == bucket(value)


def test_percentiles_are_those_of_the_values() -> None:
    histogram = Histogram(range(1, 101))
    assert [histogram.percentile(percent) for percent in (50, 99, 100)] == [50, 99, 100]


def test_an_empty_histogram_has_no_percentiles() -> None:
    with pytest.raises(ValueError, match="empty histogram"):
        Histogram().percentile(50)


class Clock:
    """A clock on which each look takes a microsecond, and nothing else any time but what is added."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


def test_a_pause_shows_in_all_operations_that_it_delays_only_in_an_open_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One read in 1,000 takes 10 ms, and delays a hundred of those that are due every 0.1 ms."""
    clock = Clock()
    monkeypatch.setattr(loops, "perf_counter_ns", clock)

    class Stops(dict[Any, Any]):
        reads = 0

        def __getitem__(self, key: Any) -> Any:
            self.reads += 1
            if self.reads % 1_000 == 0:
                clock.now += 10_000_000
            return super().__getitem__(key)

    contender = replace(DICT, name="stops", make=Stops)
    scenario = Scenario(n=10, operations=3_000)
    at_99 = PERCENTILES.index(99.0)
    closed, opened = (percentiles(contender, scenario, mode, 10_000)[at_99] for mode in (CLOSED, OPEN))
    assert opened > 1_000_000 > closed
