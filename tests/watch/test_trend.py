"""Trends that a few wild samples do not change."""

from __future__ import annotations

import pytest

from threadproof.watch.trend import falls_per_rise, slope


def test_the_slope_of_a_line_whatever_some_points_are() -> None:
    times = [float(n) for n in range(100)]
    values = [3 * time + 5 for time in times]
    assert slope(times, values) == pytest.approx(3)
    for wild in (0, 13, 50, 77):
        values[wild] = 1e9
    assert slope(times, values) == pytest.approx(3)


def test_the_slope_of_too_little() -> None:
    assert slope([1.0], [5.0]) == slope([1.0, 1.0], [5.0, 6.0]) == 0.0


def test_falls_over_rises() -> None:
    assert falls_per_rise([0, 10, 8, 18]) == pytest.approx(0.1)
    assert falls_per_rise([5, 5, 3]) == 1.0
