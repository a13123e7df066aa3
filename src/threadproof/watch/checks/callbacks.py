"""Functions that the program gave to a structure raise.

## Meaning

How many calls of listeners and other callbacks raised, or did not happen, in the window.

## Impact

What the callback should have done was not done: a value was not closed, a message not sent.

## Diagnosis

The first failure of each structure is in the log, with its traceback (logger `threadproof`).

## Mitigation

Mend the callback. One that may fail should catch its own exceptions.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window

COUNTS = ("listener_failures", "lost_events", "callback_errors")


def measure(window: Window, limits: Limits) -> Reading | None:
    failures = window.growth(*COUNTS)
    return Reading(failures, f"{failures:,} calls in {window.seconds:.0f} s")


CHECK = Check(
    name="callbacks",
    message="functions that were given to {structure} raise",
    unit="calls in the window",
    needs=needs(),
    any_of=needs(*COUNTS),
    limits=Limits(warn=1, critical=1000, samples=2),
    measure=measure,
    fix="see the log for the exception, and mend the function",
    promql=(
        "increase(threadproof_listener_failures_calls_total[5m]) or "
        "increase(threadproof_callback_errors_calls_total[5m])"
    ),
    page=__doc__ or "",
)
