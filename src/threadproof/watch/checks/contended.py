"""Threads often find a lock taken, or a step outdated.

## Meaning

How many times in a second a thread found a lock closed (`contended`, `lock_waits`) or had to begin again
because another was first (`retries`). It says how often threads collide, not how long they wait: `waiting`
does.

## Impact

Each collision costs some hundred nanoseconds up to a switch of threads. Thousands in a second cost a share
of a processor.

## Diagnosis

`hot_keys(m)` shows whether the threads want one key. `/debug/contention` shows the lines.

## Mitigation

For a LockedMap, a HashMap or a ShardedMap. For a counter, an `AtomicIntArray`. For one hot key, split it.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window

COUNTS = ("contended", "lock_waits", "retries")


def measure(window: Window, limits: Limits) -> Reading | None:
    if window.seconds <= 0:
        return None
    collisions = window.growth(*COUNTS)
    if collisions < limits.least:
        return Reading(0.0)
    rate = collisions / window.seconds
    return Reading(rate, f"threads collided {rate:,.0f} times a second, for {window.seconds:.0f} s")


CHECK = Check(
    name="contended",
    message="threads collide at {structure}",
    unit="collisions per second",
    needs=needs(),
    any_of=needs(*COUNTS),
    limits=Limits(warn=1000.0, critical=100_000.0, samples=2, least=100, times=2),
    least="collisions in the window",
    measure=measure,
    fix="split what the threads share, or use a structure whose threads seldom meet",
    promql=(
        "rate(threadproof_lock_waits_total[5m]) or rate(threadproof_contended_waits_total[5m]) or "
        "rate(threadproof_contended_retries_total[5m]) or rate(threadproof_retries_total[5m])"
    ),
    page=__doc__ or "",
)
