"""Memory of replaced tables is not freed.

## Meaning

The least number of retired bytes in the window: so much waits all the time for threads that may still read
it.

## Impact

The process takes more memory; with every resize, more of it.

## Diagnosis

A thread that stopped inside a read keeps all tables that were replaced since. No method of a map stays inside
for long, so that a thread that was stopped from outside (a debugger, a frozen cgroup, a signal handler that
does not return) is the cause. `/debug/threads` shows the threads and their stacks.

## Mitigation

Let the thread run. The memory is freed with the next changes.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window

MIB = 2**20


def measure(window: Window, limits: Limits) -> Reading | None:
    least = min(window.series("retired_bytes"))
    threads = f"{window.last('known_threads'):,} threads may read it"
    return Reading(least, f"{least / MIB:,.0f} MiB for {window.seconds:.0f} s; {threads}")


CHECK = Check(
    name="retired-memory",
    message="memory of replaced tables is not freed in the {structure}",
    unit="bytes",
    needs=needs("retired_bytes", "known_threads"),
    limits=Limits(warn=64 * MIB, critical=1024 * MIB, samples=6),
    measure=measure,
    fix="look for a thread that was stopped inside a call of a map",
    promql='label_replace(min_over_time(threadproof_process_retired_bytes[5m]), "name", "process", "", "")',
    page=__doc__ or "",
)
