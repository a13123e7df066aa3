"""How throughput grows with threads: Gunther's Universal Scalability Law, and what the machine itself allows.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): sigma is contention, the share of the work that is
done by one thread after the other; kappa is coherency, what they pay for telling each other. With kappa there
is a peak, at N = sqrt((1 - sigma) / kappa), after which more threads get less done.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, sqrt
from time import perf_counter_ns

from threadproof.bench.crew import pin, usable_cpus
from threadproof.bench.isolate import start
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import rival_loop
from threadproof.bench.results import Row
from threadproof.bench.rivals import DICT
from threadproof.bench.workloads import WORKLOADS, Hand, Scene

LEAST_POINTS = 4  # numbers of threads: three unknowns, and one to see whether the law fits at all
RESAMPLES = 400  # of the samples at each number of threads, for the intervals
TOO_FEW = "too few CPUs"
Interval = tuple[float, float]


@dataclass(frozen=True)
class Fit:
    """The law's figures, each between the ends of its 95 % interval."""

    contention: float
    coherency: float
    peak: float
    contention_interval: Interval
    coherency_interval: Interval
    peak_interval: Interval


def fit(samples: Mapping[int, Sequence[float]]) -> Fit:
    """Fit the law to throughputs, several for each number of threads: to the best, and to resamples."""
    best = solve({threads: max(values) for threads, values in samples.items()})
    draw = random.Random(1)
    again = [
        solve({threads: max(draw.choices(values, k=len(values))) for threads, values in samples.items()})
        for _ in range(RESAMPLES)
    ]
    intervals = [interval(column) for column in zip(*again, strict=True)]
    return Fit(*best, *intervals)


def solve(points: Mapping[int, float]) -> tuple[float, float, float]:
    """Return contention, coherency and peak: least squares of N / X, linear in both, none below zero."""
    candidates = [least_squares(points, terms) for size in (2, 1, 0) for terms in combinations((1, 2), size)]
    allowed = [(error, found) for error, found in candidates if min(found) >= 0]
    _, (base, contention, coherency) = min(allowed)
    sigma, kappa = contention / base, coherency / base
    return sigma, kappa, sqrt(max(1 - sigma, 0) / kappa) if kappa else inf


def least_squares(points: Mapping[int, float], terms: Sequence[int]) -> tuple[float, tuple[float, ...]]:
    """Fit N / X by a constant and these of the terms N - 1 and N (N - 1); return the error, and the fit."""
    used = (0, *terms)
    rows = [[(1, n - 1, n * (n - 1))[term] * x / n for term in used] for n, x in points.items()]
    normal = [[sum(row[i] * row[j] for row in rows) for j in range(len(used))] for i in range(len(used))]
    found = eliminate(normal, [sum(row[i] for row in rows) for i in range(len(used))])
    error = sum((sum(a * b for a, b in zip(row, found, strict=True)) - 1) ** 2 for row in rows)
    whole = [0.0, 0.0, 0.0]
    for term, value in zip(used, found, strict=True):
        whole[term] = value
    return error, (whole[0], whole[1], whole[2])


def eliminate(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a small system of linear equations."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        for other in rows[i + 1 :]:
            factor = other[i] / pivot[i]
            other[i:] = [a - factor * b for a, b in zip(other[i:], pivot[i:], strict=True)]
    found: list[float] = []
    for row in reversed(rows):
        known = sum(a * b for a, b in zip(reversed(row[:-1]), found, strict=False))
        found.append((row[-1] - known) / row[len(rows) - 1 - len(found)])
    return found[::-1]


def interval(values: Sequence[float]) -> Interval:
    ordered = sorted(values)
    return ordered[len(ordered) // 40], ordered[-1 - len(ordered) // 40]


def verdict(samples: Mapping[int, Sequence[float]], cpus: int) -> str:
    """Say what the law says about these throughputs, or plainly that they cannot tell."""
    usable = {threads: values for threads, values in samples.items() if threads <= cpus}
    if len(usable) < LEAST_POINTS:
        counts = ", ".join(map(str, sorted(usable)))
        return (
            f"{TOO_FEW} to tell where it bends: on {cpus} of them, {counts} threads have one each, which "
            f"makes {len(usable)} points; the law has three unknowns and wants {LEAST_POINTS} or more"
        )
    found = fit(usable)
    text = f"contention {percent(found.contention, found.contention_interval)}"
    text += f", coherency {percent(found.coherency, found.coherency_interval)}"
    if found.coherency_interval[0] == 0:
        return f"{text}; no peak is seen"
    low, high = found.peak_interval
    return f"{text}; most is done by {found.peak:.0f} threads ({low:.0f} to {high:.0f})"


def percent(value: float, ends: Interval) -> str:
    return f"{value:.2%} ({ends[0]:.2%} to {ends[1]:.2%})"


def report(rows: Sequence[Row], scenes: Sequence[Scene]) -> str:
    """What the law says about each rival in each workload; where nothing can be told, once why."""
    if len({scene.threads for scene in scenes}) < 2:
        return ""
    said = {(row.workload, row.rival, row.scene.n): "" for row in rows if not row.lost}
    for workload, rival, n in said:
        those = [row for row in rows if (row.workload, row.rival, row.scene.n) == (workload, rival, n)]
        said[workload, rival, n] = verdict(throughputs(those), len(usable_cpus()))
    if all(text.startswith(TOO_FEW) for text in said.values()):
        return f"Scaling: {max(said.values(), default=TOO_FEW)}\n"
    lines = [f"- {workload}, {rival}, n={n:,}: {text}" for (workload, rival, n), text in said.items()]
    return "Scaling:\n\n" + "\n".join(lines) + "\n"


def throughputs(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Operations in a second of each sample; one thread as it does on a map that no thread made."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row.scene.threads > 1 and not row.lost:
            many = row.operations * row.scene.threads * 1e9
            found[row.scene.threads] = [many / sample for sample in row.samples]
            found[1] = [row.alone_operations * 1e9 / sample for sample in row.alone]
    return found


# --- the machine's own ceiling ---


def ceiling(processes: int, n: int) -> float:
    """How much more as many processes get done than one, where they share nothing: dicts that are read.

    No map that threads share can be asked for more on this machine.
    """
    return best_rate(processes, n) / best_rate(1, n)


def best_rate(processes: int, n: int, rounds: int = 5) -> float:
    """Reads in a ns by that many processes, each on a CPU of its own; the best round."""
    return max(one_round(processes, n) for _ in range(rounds))


def one_round(processes: int, n: int) -> float:
    cpus = usable_cpus()
    begin = perf_counter_ns() + 200_000_000 + 400 * n  # when all have made their keys
    children = [start(read_alone, cpus[number % len(cpus)], n, begin) for number in range(processes)]
    ends = [receiver.recv() for receiver, _ in children]
    for _, process in children:
        process.join()
    last: int = max(ends)
    return processes / (last - begin)


def read_alone(sender: object, cpu: int, n: int, begin: int) -> None:
    pin(cpu)
    scene = Scene(n=n, operations=500_000)
    stored = make_keys(scene.kind, range(n))
    keys = WORKLOADS["read"].lists(Hand(scene, stored, 0, 1))
    loop = rival_loop(WORKLOADS["read"], DICT, heap=False)
    m = dict.fromkeys(stored)
    while perf_counter_ns() < begin:
        pass
    loop(m, keys, None, n)  # type: ignore[arg-type]
    sender.send(perf_counter_ns())  # type: ignore[attr-defined]
