"""Trends that a few wild samples do not change."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median

MOST_POINTS = 24  # 276 pairs: some 30 microseconds; more points change the median little


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The Theil-Sen estimator: the median of the slopes between all pairs of points, per unit of time.

    Up to 29 % of the points may be wrong without changing it much (P. K. Sen, 1968). 0.0 for fewer than two
    times. Of many points it takes some, evenly spread, with the first and the last.
    """
    points = thinned(list(zip(times, values, strict=True)))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return median(slopes) if slopes else 0.0


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(index * step)] for index in range(MOST_POINTS)]


def falls_per_rise(values: Sequence[float]) -> float:
    """The sum of the falls from sample to sample over the sum of the rises; 1.0 where nothing rises."""
    steps = [after - before for before, after in pairwise(values)]
    rises = sum(step for step in steps if step > 0)
    return -sum(step for step in steps if step < 0) / rises if rises else 1.0
