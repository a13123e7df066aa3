"""A copy of remote data is old.

## Meaning

The seconds by which a local copy may be behind the remote data, as the structure says (`staleness`).

## Impact

Reads return values that have been replaced elsewhere.

## Diagnosis

Is the connection over which changes are announced alive? Does this process get the processor?

## Mitigation

Drop the local copy, so that reads go to the remote data until the connection is there again.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    seconds = window.last("staleness")
    return Reading(seconds, f"up to {seconds:.1f} s behind")


CHECK = Check(
    name="staleness",
    message="{structure} is behind its remote data",
    unit="seconds",
    needs=needs("staleness"),
    limits=Limits(warn=5.0, critical=60.0, samples=1, times=2),
    measure=measure,
    fix="see whether the connection that announces changes is alive",
    promql="threadproof_staleness_seconds",
    page=__doc__ or "",
)
