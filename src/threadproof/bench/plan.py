"""The cells of the targets and of the pages: jobs, each with its number of passes, and single numbers.

A cell is measured in one way only, so every table and every target shows the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from threadproof.bench import isolate, results
from threadproof.bench.ceiling import CEILING, ceiling
from threadproof.bench.contenders import DICT, LOCKED_DICT, SHARDED_DICT, Contender, versions
from threadproof.bench.keys import make_keys
from threadproof.bench.passes import Passes, Show
from threadproof.bench.pauses import worst_pause
from threadproof.bench.results import Measurement, Result
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.targets import (
    CLAIMS,
    COUNTED,
    COUNTINGS,
    EVERY_WORKLOAD,
    GROWING,
    KNOWN_SIZES,
    PAUSE_SIZE,
    RESERVE,
    SET_MANY,
    SMALL,
    TABLE_BYTES,
)
from threadproof.bench.workers import usable_cpus
from threadproof.bench.workloads import WORKLOADS, Workload

EFFORT = Effort(seconds=0.25, least=3, most=1_000)  # a hundred rounds of a small map in each pass
PASSES = 3  # the least number of which one can be disturbed, and two still agree
LARGE_PASSES = 2  # of large maps, which take most of the time
SHARE = 0.15  # of these seconds for each of every workload, of which there are many: tens of rounds
# Two threads are measured so many times longer than one: both cores must be free of other users at once.
PAIR_TIMES = 4
TABLE_SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Step:
    """A job, and how many times it is measured, minutes apart, each time in a new process."""

    job: isolate.Job
    passes: int


def steps(hash_map: Contender, others: Sequence[Contender], effort: Effort, quick: bool) -> list[Step]:
    """The jobs that compare with a dict, and every workload with the others; `quick` omits large maps."""
    found = [*with_dict(hash_map, effort), *every_workload([hash_map, *others], effort)]
    if quick:
        found = quickened(found)
    return [step for step in found if step.job.scenario.threads <= len(usable_cpus())]


def quickened(found: Sequence[Step]) -> list[Step]:
    """Small maps in one pass."""
    return [replace(step, passes=1) for step in found if step.job.scenario.n <= SMALL]


def with_dict(hash_map: Contender, effort: Effort) -> list[Step]:
    """The workloads that the claims name, those of one scenario together."""
    workloads: dict[Scenario, list[Workload]] = {}
    for claim in CLAIMS:
        for scenario in claim.scenarios():
            workloads.setdefault(scenario, []).append(claim.workload)
    for scenario in KNOWN_SIZES:
        workloads.setdefault(scenario, []).extend([RESERVE, SET_MANY])
    for scenario, threads in product(COUNTED, (1, 2)):
        workloads.setdefault(replace(scenario, threads=threads), []).extend(COUNTINGS)
    contenders = (DICT, LOCKED_DICT, hash_map)
    return [
        Step(isolate.Job(scenario, those, contenders, for_threads(scenario, effort)), passes_of(scenario))
        for scenario, those in workloads.items()
    ]


def for_threads(scenario: Scenario, effort: Effort) -> Effort:
    return effort if scenario.threads == 1 else replace(effort, seconds=PAIR_TIMES * effort.seconds)


def every_workload(
    contenders: Sequence[Contender],
    effort: Effort,
    workloads: Sequence[Workload] = tuple(WORKLOADS.values()),
    kinds: Sequence[str] = ("int", "str"),
) -> list[Step]:
    less = replace(effort, seconds=SHARE * effort.seconds, least=1)
    return [
        Step(isolate.Job(scenario, workloads, contenders, less), passes_of(scenario))
        for scenario in EVERY_WORKLOAD
        if scenario.kind in kinds
    ]


def passes_of(scenario: Scenario) -> int:
    return PASSES if scenario.n == SMALL else LARGE_PASSES


def peers(installed: Sequence[Contender]) -> list[Contender]:
    """The contenders beside HashMap: a dict without and with locks, and those of other packages."""
    return [DICT, LOCKED_DICT, SHARDED_DICT, *installed]


def measure(
    hash_map: Contender,
    others: Sequence[Contender],
    effort: Effort,
    quick: bool,
    show: Show,
    more: Sequence[Step] = (),
) -> Result:
    """Everything that the targets need, and `more`, in one result; a cell of both has the samples of both."""
    planned = [*steps(hash_map, others, effort, quick), *more]
    passes = Passes()
    rounds = [(number, step) for number in range(PASSES) for step in planned if number < step.passes]
    for place, (number, step) in enumerate(rounds, 1):
        scenario = step.job.scenario
        where = f"{scenario.threads_label}, {scenario.label}"
        show(f"{place} of {len(rounds)}: pass {number + 1}, {where}")
        passes.measure(step.job)
    machine = results.machine(versions(others))
    return Result(machine, passes.all(), single_numbers(hash_map, quick, show))


def single_numbers(hash_map: Contender, quick: bool, show: Show) -> list[Measurement]:
    """The worst pause, the bytes of the table, and the gain that the machine allows."""
    n = PAUSE_SIZE // 50 if quick else PAUSE_SIZE
    show(f"{GROWING}: to {n:,}")
    pause = worst_pause(hash_map, n, 1)
    if pause.problem:
        raise RuntimeError(f"{hash_map.name}, growing to {n:,}: {pause.problem}")
    found = [replace(pause, what=GROWING)]
    for size in TABLE_SIZES[:2] if quick else TABLE_SIZES:
        show(f"bytes of the table, n={size:,}")
        found.append(Measurement(TABLE_BYTES, hash_map.name, size, value=table_bytes_ratio(hash_map, size)))
    if len(usable_cpus()) > 1:
        show(CEILING)
        found.append(Measurement(CEILING, DICT.name, SMALL, 2, ceiling(2, SMALL)))
    return found


def table_bytes_ratio(hash_map: Contender, n: int) -> float:
    """Both grow in steps, so the mean of eight sizes within a factor of two counts."""
    sizes = [isolate.answer(table_bytes, hash_map, n * step // 8) for step in range(8, 16)]
    ratio: float = sum(ours for ours, _ in sizes) / sum(dicts for _, dicts in sizes)
    return ratio


def table_bytes(hash_map: Contender, n: int) -> tuple[int, int]:
    """The bytes of a HashMap of n keys, and of a dict."""
    keys = make_keys("int", range(n))
    m: Any = hash_map.make()
    d: dict[Any, None] = {}
    for key in keys:
        m[key] = d[key] = None
    return m.stats().bytes, d.__sizeof__()
