"""A function given to `compute` has been running for long.

## Meaning

The seconds since the oldest of the running computations began.

## Impact

Other writers of its key wait all that time. Readers do not.

## Diagnosis

`m.computations()` lists them with their threads; `/debug/threads` shows where those threads are.

## Mitigation

Give `compute` functions that take little time; compute outside, and store the result. `timeout=` bounds the
waiting of others.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    seconds, running = window.last("oldest_computation"), window.last("computing")
    return Reading(seconds, f"the oldest of {running:,} computations began {seconds:.1f} s ago")


CHECK = Check(
    name="long-computation",
    message="a computation in {structure} takes long",
    unit="seconds",
    needs=needs("computing", "oldest_computation"),
    limits=Limits(warn=10.0, critical=60.0, samples=1),
    measure=measure,
    fix="compute outside, and store the result",
    promql="threadproof_oldest_computation_seconds",
    page=__doc__ or "",
)
