"""Making a new read table of a SyncMap took long.

## Meaning

The longest time in the window that a promotion took, in seconds. Other writers of new keys wait meanwhile.

## Impact

A pause for threads that store new keys in that part of the map.

## Diagnosis

`last_promotion` and `worst_promotion` in the map's stats. A part has at most some hundred keys, so that a
long promotion means slow `__eq__` or `__hash__` methods, or a machine with too few processors for its
threads.

## Mitigation

Use keys that are compared quickly, such as strs and ints, or a HashMap, which never copies a table at once.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    promotions = window.growth("promotions")
    if promotions < limits.least:
        return Reading(0.0)
    new_worst = window.last("worst_promotion") if window.growth("worst_promotion") > 0 else 0.0
    longest = max(new_worst, *window.series("last_promotion")[1:])
    return Reading(
        longest, f"{longest * 1000:.1f} ms, of {promotions:,} promotions in {window.seconds:.0f} s"
    )


CHECK = Check(
    name="promotion-pauses",
    message="writers of {structure} waited long for a new read table",
    unit="seconds",
    needs=needs("promotions", "last_promotion", "worst_promotion"),
    limits=Limits(warn=0.05, critical=0.5, samples=2, least=1),
    least="promotions in the window",
    measure=measure,
    fix="use keys that are compared quickly, or a HashMap",
    promql=(
        "max_over_time(threadproof_last_promotion_seconds[5m]) and "
        "increase(threadproof_promotions_total[5m]) > 0"
    ),
    page=__doc__ or "",
)
