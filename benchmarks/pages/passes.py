"""The same jobs again and again, minutes apart.

Neighbours on the machine halve a core's speed for a tenth of a second, or for minutes, and where a process
has its pages is luck. The least of all samples of several processes has the least of both.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from threadproof.bench import isolate
from threadproof.bench.results import Row
from threadproof.bench.rivals import Rival
from threadproof.bench.workloads import Scene, Workload

Show = Callable[[str], None]


def say(step: str) -> None:
    """Show which step comes next, where it is in nobody's way."""
    print(step, file=sys.stderr)


class Passes:
    """Rows of the same jobs, measured again and again in processes of their own."""

    def __init__(self) -> None:
        self.rows: defaultdict[tuple[Scene, str, str], list[Row]] = defaultdict(list)

    def add(self, row: Row) -> None:
        self.rows[row.scene, row.workload, row.rival].append(row)

    def row(self, scene: Scene, workload: Workload, rival: Rival) -> Row:
        """Return what all passes together say."""
        return together(self.rows[scene, workload.name, rival.name])

    def figures(self, scene: Scene, workload: Workload, rival: Rival) -> Row:
        """Return the same where a row without figures is an error."""
        row = self.row(scene, workload, rival)
        if row.problem:
            raise RuntimeError(f"{row.rival}, {row.workload}: {row.problem}")
        return row

    def all(self) -> list[Row]:
        return [together(rows) for rows in self.rows.values()]


def in_passes(jobs: Sequence[isolate.Job], count: int, show: Show) -> Passes:
    """Measure all jobs, and then all of them again."""
    passes = Passes()
    for number, job in product(range(count), jobs):
        show(f"pass {number + 1} of {count}, {job.scene.crowd}, {job.scene.label}")
        for row in isolate.measure(job):
            passes.add(row)
    return passes


def together(rows: Sequence[Row]) -> Row:
    """Make one row of those that several processes measured of the same; a problem is one of all."""
    if broken := [row for row in rows if row.problem]:
        return broken[0]
    return replace(
        rows[0],
        samples=[sample for row in rows for sample in row.samples],
        loop=min(row.loop for row in rows),
        alone=[sample for row in rows for sample in row.alone],
        alone_loop=min(row.alone_loop for row in rows),
    )
