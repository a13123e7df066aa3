"""Rows for pages: fewer samples to commit, and where other contenders are ahead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadproof.bench.results import Row
from threadproof.bench.tables import by_scenario, grid, ratio


def fewer_samples(rows: Iterable[Row], most: int = 8) -> list[Row]:
    """The rows with at most so many samples each, for a file to commit."""
    return [replace(row, samples=kept(row.samples, most), alone=kept(row.alone, most)) for row in rows]


def kept(samples: Sequence[int], most: int) -> list[int]:
    """Some of the samples, with the same minimum, median and maximum."""
    if len(samples) <= most:
        return list(samples)
    ordered, middle = sorted(samples), len(samples) // 2
    half = (most - 3) // 2
    return [ordered[0], *ordered[middle - half : middle + half + 1], ordered[-1]]


def losses(rows: Sequence[Row], name: str) -> list[tuple[float, Row, Row]]:
    """Where another contender is ahead of the named one: ratio, the named one's row, the best row."""
    found = []
    for those in by_scenario(rows).values():
        workloads, contenders, cells = grid(those)
        for workload in workloads:
            others = [cells[workload, contender] for contender in contenders if contender != name]
            best = min((row for row in others if not row.lost), key=lambda row: row.nanoseconds, default=None)
            times = ratio(cells[workload, name], best)
            if best is not None and times is not None and times < 1:
                found.append((times, cells[workload, name], best))
    return sorted(found, key=lambda loss: loss[0])
