"""How throughput grows with threads: Gunther's Universal Scalability Law.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): sigma is contention, the share of the work that
threads do one after the other; kappa is coherency, the cost of keeping their caches consistent. With kappa
above 0 there is a peak, at N = sqrt((1 - sigma) / kappa), beyond which more threads achieve less.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, sqrt

from threadproof.bench.results import Row
from threadproof.bench.scenario import Scenario
from threadproof.bench.workers import usable_cpus

LEAST_POINTS = 4  # numbers of threads: three unknowns, and one more to see whether the law fits
RESAMPLES = 400  # bootstrap resamples for the intervals: their 2.5 % ends are then 10 values
TOO_FEW = "too few CPUs"
Interval = tuple[float, float]


@dataclass(frozen=True)
class Fit:
    """The law's parameters, each with its 95 % interval."""

    contention: float
    coherency: float
    peak: float
    contention_interval: Interval
    coherency_interval: Interval
    peak_interval: Interval


def fit(samples: Mapping[int, Sequence[float]]) -> Fit:
    """Fit the law to the best throughput of each number of threads, and to resamples for intervals."""
    best = solve({threads: max(values) for threads, values in samples.items()})
    draw = random.Random(1)
    again = [
        solve({threads: max(draw.choices(values, k=len(values))) for threads, values in samples.items()})
        for _ in range(RESAMPLES)
    ]
    intervals = [interval(column) for column in zip(*again, strict=True)]
    return Fit(*best, *intervals)


def solve(points: Mapping[int, float]) -> tuple[float, float, float]:
    """Contention, coherency and peak, none negative: least squares of N / X, which is linear in both."""
    candidates = [least_squares(points, terms) for size in (2, 1, 0) for terms in combinations((1, 2), size)]
    allowed = [(error, found) for error, found in candidates if min(found) >= 0]
    _, (base, contention, coherency) = min(allowed)
    sigma, kappa = contention / base, coherency / base
    return sigma, kappa, sqrt(max(1 - sigma, 0) / kappa) if kappa else inf


def least_squares(points: Mapping[int, float], terms: Sequence[int]) -> tuple[float, tuple[float, ...]]:
    """Fit N / X by a constant and the given terms (1: N - 1, 2: N (N - 1)); return the error, and the fit."""
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
    """The law's parameters for these throughputs, or why they cannot be determined."""
    usable = {threads: values for threads, values in samples.items() if threads <= cpus}
    if len(usable) < LEAST_POINTS:
        counts = ", ".join(map(str, sorted(usable)))
        return (
            f"{TOO_FEW} to fit the scalability law: with {cpus}, only {counts} threads have one each, which "
            f"gives {len(usable)} points; the law has three unknowns and needs {LEAST_POINTS} or more"
        )
    found = fit(usable)
    text = f"contention {percent(found.contention, found.contention_interval)}"
    text += f", coherency {percent(found.coherency, found.coherency_interval)}"
    if found.coherency_interval[0] == 0:
        return f"{text}; no peak"
    low, high = found.peak_interval
    return f"{text}; peak at {found.peak:.0f} threads ({low:.0f} to {high:.0f})"


def percent(value: float, ends: Interval) -> str:
    return f"{value:.2%} ({ends[0]:.2%} to {ends[1]:.2%})"


def report(rows: Sequence[Row], scenarios: Sequence[Scenario]) -> str:
    """The law's parameters for each contender and workload; or once why there are none."""
    if len({scenario.threads for scenario in scenarios}) < 2:
        return ""
    verdicts = {(row.workload, row.contender, row.scenario.n): "" for row in rows if not row.lost}
    for workload, contender, n in verdicts:
        those = [
            row for row in rows if (row.workload, row.contender, row.scenario.n) == (workload, contender, n)
        ]
        verdicts[workload, contender, n] = verdict(throughputs(those), len(usable_cpus()))
    if all(text.startswith(TOO_FEW) for text in verdicts.values()):
        return f"Scaling: {max(verdicts.values(), default=TOO_FEW)}\n"
    lines = [
        f"- {workload}, {contender}, n={n:,}: {text}" for (workload, contender, n), text in verdicts.items()
    ]
    return "Scaling:\n\n" + "\n".join(lines) + "\n"


def throughputs(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Operations per second of each sample; for one thread, on a map that another thread made."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row.scenario.threads > 1 and not row.lost:
            many = row.operations * row.scenario.threads * 1e9
            found[row.scenario.threads] = [many / sample for sample in row.samples]
            found[1] = [row.alone_operations * 1e9 / sample for sample in row.alone]
    return found
