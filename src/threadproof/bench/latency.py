"""How long single operations take: percentiles, from a histogram, in two modes.

Closed loop: each thread begins an operation when the one before has ended. This hides waiting, because a
waiting thread requests nothing. Open loop: operations are due at a fixed rate, and one is timed from the
moment it was due. A pause then shows in all operations that it delayed, as it would to the clients of a
server ("coordinated omission", Gil Tene).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from threadproof.bench import tables
from threadproof.bench.contenders import NOTHING, Contender
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import DISTRIBUTIONS, make_keys
from threadproof.bench.loops import compile_loop, stored
from threadproof.bench.results import Measurement
from threadproof.bench.runner import filled
from threadproof.bench.scenario import Scenario, Worker
from threadproof.bench.workers import Workers

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
WRITES = 0.05  # of the operations, as in the workload 95/5
SUB_BITS = 7  # 128 buckets for each power of two: two significant digits
CLOSED, OPEN = "closed", "open"

BODIES = {
    CLOSED: """\
operations, note, step = keys
due = clock()
for k, w in operations:
    if w:
        <write>
    else:
        <read>
    now = clock()
    note(now - due)
    due = now
""",
    OPEN: """\
operations, note, step = keys
due = clock()
for k, w in operations:
    due += step
    while clock() < due:
        pass
    if w:
        <write>
    else:
        <read>
    note(clock() - due)
""",
}


class Histogram:
    """Counts of ns, in buckets whose width is at most a hundredth of their values."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts = Counter(map(bucket, values))

    def percentile(self, percent: float) -> int:
        """The ns within which this share of the operations ended."""
        wanted, seen = self.counts.total() * percent / 100, 0
        for upper in sorted(self.counts):
            seen += self.counts[upper]
            if seen >= wanted:
                return upper
        raise ValueError("an empty histogram has no percentiles")


def bucket(value: int) -> int:
    """The highest value in the bucket of this one."""
    shift = max(value.bit_length() - SUB_BITS, 0)
    return ((value >> shift) + 1 << shift) - 1


def latencies(contenders: Sequence[Contender], scenario: Scenario, rate: int) -> list[Measurement]:
    """Percentiles of each contender in both modes: 95 % reads, `rate` due per second and thread."""
    return [
        measurement
        for mode in BODIES
        for contender in (NOTHING, *contenders)
        for measurement in of_contender(contender, scenario, mode, rate)
    ]


def of_contender(contender: Contender, scenario: Scenario, mode: str, rate: int) -> list[Measurement]:
    try:
        found = answer(percentiles, contender, scenario, mode, rate)
    except ChildError as error:
        return [
            Measurement(f"{mode} loop, ns", contender.name, scenario.n, scenario.threads, problem=str(error))
        ]
    return [
        Measurement(f"{mode} loop, p{percent:g} ns", contender.name, scenario.n, scenario.threads, value)
        for percent, value in zip(PERCENTILES, found, strict=True)
    ]


def percentiles(contender: Contender, scenario: Scenario, mode: str, rate: int) -> list[int]:
    workers = Workers(scenario.threads)
    keys = make_keys(scenario.kind, range(scenario.n))
    idioms = {"read": "pass", **contender.idioms}
    loop = compile_loop(BODIES[mode], stored(idioms, scenario.heap))
    m = filled(contender.make, keys, scenario.heap, None)
    noted: list[list[int]] = [[] for _ in workers.executors]
    roles = [
        (operations(Worker(scenario, keys, thread, scenario.threads)), own.append, 10**9 // rate)
        for thread, own in enumerate(noted)
    ]
    workers.time(loop, m, roles, scenario.n)
    histogram = Histogram(value for own in noted for value in own)
    return [histogram.percentile(percent) for percent in PERCENTILES]


def operations(worker: Worker) -> list[tuple[Any, bool]]:
    """Keys, and whether each is written."""
    keys = worker.draw(DISTRIBUTIONS[worker.scenario.distribution], worker.scenario.operations)
    draw = random.Random(worker.thread + 3).random
    return [(key, draw() < WRITES) for key in keys]


def report(measurements: Sequence[Measurement]) -> str:
    """A table for each mode, size and number of threads."""
    places = dict.fromkeys(map(place, measurements))
    return "\n".join(table([f for f in measurements if place(f) == each], *each) for each in places)


def place(measurement: Measurement) -> tuple[str, int, int]:
    return measurement.what.partition(",")[0], measurement.n, measurement.threads


def table(measurements: Sequence[Measurement], mode: str, n: int, threads: int) -> str:
    lines = [["ns", *(f"p{percent:g}" for percent in PERCENTILES)]]
    for contender in dict.fromkeys(measurement.contender for measurement in measurements):
        own = [measurement for measurement in measurements if measurement.contender == contender]
        lines.append(
            [
                contender,
                *([f"{each.value:,.0f}" for each in own] if not own[0].problem else ["-"] * len(PERCENTILES)),
            ]
        )
    label = f"{threads} thread{'s' * (threads > 1)}"
    return f"### {mode}, 95 % reads, n={n:,}, {label}\n\n{tables.columns(lines)}\n"
