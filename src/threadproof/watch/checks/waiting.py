"""Threads spend much of their time waiting for a lock.

## Meaning

The number of threads that waited, averaged over the samples, as a share of the program's threads. By Little's
law this is the share of wall time that a thread waits for this lock. It is an estimate: it takes many
samples, and sees only locks whose stats have the number of waiting threads.

## Impact

More threads make the program no faster.

## Diagnosis

`/debug/contention?seconds=10`, or `threadproof contention`, shows which lines wait, and which lines hold the
lock meanwhile.

## Mitigation

Hold the lock for less: no calls of the network, files or user code inside. Split the data, each part with its
own lock; or use a structure whose reads take no lock.
"""

from __future__ import annotations

from statistics import fmean

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    threads = fmean(sample.threads for sample in window.samples)
    if threads < limits.least:
        return Reading(0.0)
    waiting = fmean(window.series("waiting"))
    share = waiting / threads
    return Reading(share, f"{waiting:.1f} of {threads:.1f} threads ({percent(share)}) waited, on average")


CHECK = Check(
    name="waiting",
    message="threads spend much of their time waiting for {structure}",
    unit="share of wall time",
    needs=needs("waiting"),
    limits=Limits(warn=0.05, critical=0.2, samples=6, least=2),
    least="threads",
    measure=measure,
    fix="hold the lock for less, or split what it guards",
    promql=(
        "avg_over_time(threadproof_waiting_threads[5m]) / on (job, instance) group_left () "
        "(threadproof_process_threads >= 2)"
    ),
    page=__doc__ or "",
)
