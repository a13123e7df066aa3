"""A table is resized again and again, and does not change in size.

## Meaning

Resizes per minute over the window, less those that the table's growth, or its shrinking, explains.

## Impact

Every resize moves all entries. Writers do that work, and until it is done two tables take memory.

## Diagnosis

`resizes`, `buckets` and `size` in the map's stats. A map that is filled and emptied in turns shows it, and so
does one with many deletions, whose places are reclaimed by a resize.

## Mitigation

Make a new map for each batch instead of emptying one, or replace values instead of deleting and storing keys.
"""

from __future__ import annotations

from math import log2

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    if window.seconds <= 0:
        return None
    explained = abs(log2(max(window.last("buckets"), 1) / max(window.first("buckets"), 1)))
    futile = window.growth("resizes") - explained
    if futile < limits.least:
        return Reading(0.0)
    return Reading(
        60 * futile / window.seconds,
        f"{window.growth('resizes'):,} resizes in {window.seconds:.0f} s, "
        f"from {window.first('buckets'):,} buckets to {window.last('buckets'):,}",
    )


CHECK = Check(
    name="resizes",
    message="the table of {structure} is resized again and again",
    unit="resizes per minute",
    needs=needs("resizes", "buckets"),
    limits=Limits(warn=6.0, critical=600.0, samples=6, least=4, times=3),
    least="resizes in the window",
    measure=measure,
    fix="make a new map for each batch instead of emptying one",
    promql=(
        "(increase(threadproof_resizes_total[15m]) - abs(log2(threadproof_buckets / "
        "threadproof_buckets offset 15m))) / 15"
    ),
    page=__doc__ or "",
)
