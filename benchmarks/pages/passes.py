"""Measures the same jobs several times, minutes apart, each time in new processes.

Other users of the machine halve a core's speed for a tenth of a second, or for minutes; and where a process
has its memory pages is a matter of chance. The minimum over several processes has the least of both.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from threadproof.bench import isolate
from threadproof.bench.contenders import Contender
from threadproof.bench.results import Row
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import Workload

Show = Callable[[str], None]


def say(step: str) -> None:
    """Print the next step on stderr."""
    print(step, file=sys.stderr)


class Passes:
    """Rows of the same jobs, measured several times in processes of their own."""

    def __init__(self) -> None:
        self.rows: defaultdict[tuple[Scenario, str, str], list[Row]] = defaultdict(list)

    def add(self, row: Row) -> None:
        self.rows[row.scenario, row.workload, row.contender].append(row)

    def row(self, scenario: Scenario, workload: Workload, contender: Contender) -> Row:
        """The row of all passes together."""
        return together(self.rows[scenario, workload.name, contender.name])

    def valid_row(self, scenario: Scenario, workload: Workload, contender: Contender) -> Row:
        """The row of all passes together; RuntimeError if one had a problem."""
        row = self.row(scenario, workload, contender)
        if row.problem:
            raise RuntimeError(f"{row.contender}, {row.workload}: {row.problem}")
        return row

    def all(self) -> list[Row]:
        return [together(rows) for rows in self.rows.values()]


def in_passes(jobs: Sequence[isolate.Job], count: int, show: Show) -> Passes:
    """Measure all jobs `count` times, one pass after another."""
    passes = Passes()
    for number, job in product(range(count), jobs):
        show(f"pass {number + 1} of {count}, {job.scenario.threads_label}, {job.scenario.label}")
        for row in isolate.measure(job):
            passes.add(row)
    return passes


def together(rows: Sequence[Row]) -> Row:
    """One row of several for the same cell; a problem in one is a problem of all."""
    if broken := [row for row in rows if row.problem]:
        return broken[0]
    return replace(
        rows[0],
        samples=[sample for row in rows for sample in row.samples],
        loop=min(row.loop for row in rows),
        alone=[sample for row in rows for sample in row.alone],
        alone_loop=min(row.alone_loop for row in rows),
    )
