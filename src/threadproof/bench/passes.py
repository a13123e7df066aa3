"""Measures the same jobs several times, minutes apart, each time in new processes.

Other users of the machine halve a core's speed for a tenth of a second, or for minutes; and where a process
has its memory pages is a matter of chance. The minimum over several processes has the least of both.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from threadproof.bench import isolate
from threadproof.bench.results import Row
from threadproof.bench.scenario import Scenario

Show = Callable[[str], None]


def say(step: str) -> None:
    """Print the next step on stderr."""
    print(step, file=sys.stderr, flush=True)


class Passes:
    """Rows of the same jobs, measured several times in processes of their own."""

    def __init__(self) -> None:
        self.rows: defaultdict[tuple[Scenario, str, str], list[Row]] = defaultdict(list)

    def measure(self, job: isolate.Job) -> None:
        """Measure the job once more."""
        for row in isolate.measure(job):
            self.rows[row.scenario, row.workload, row.contender].append(row)

    def all(self) -> list[Row]:
        """A row for each cell, with the samples of all passes."""
        return [together(rows) for rows in self.rows.values()]


def together(rows: Sequence[Row]) -> Row:
    """One row of several for the same cell; a problem in one is a problem of all."""
    if broken := [row for row in rows if row.problem]:
        return broken[0]
    return replace(
        rows[0],
        samples=[sample for row in rows for sample in row.samples],
        loop=min(row.loop for row in rows),
        alone=[sample for row in rows for sample in row.alone],
        alone_operations=max(row.alone_operations for row in rows),  # 0 where one thread was not measured
        alone_loop=min((row.alone_loop for row in rows if row.alone), default=0),
    )
