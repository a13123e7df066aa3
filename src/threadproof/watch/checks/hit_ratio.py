"""A cache finds fewer keys than before.

## Meaning

The hit ratio of the window's earlier half less that of its later half.

## Impact

More loads: more work for that from which the cache loads, and longer answers.

## Diagnosis

`hits`, `misses`, `evictions` and `expirations` in the cache's stats. If evictions have risen, the program
uses more different keys than before. If expirations have, many entries were stored together and expire
together.

## Mitigation

A larger bound (`double_hit_ratio` estimates its effect), or `jitter` for the lifetimes.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    early, late = window.halves()
    if min(early.growth("hits", "misses"), late.growth("hits", "misses")) < limits.least:
        return None
    before, after = hit_ratio(early), hit_ratio(late)
    return Reading(max(0.0, before - after), f"from {percent(before)} to {percent(after)} of the reads")


def hit_ratio(window: Window) -> float:
    return window.growth("hits") / window.growth("hits", "misses")


CHECK = Check(
    name="hit-ratio",
    message="{structure} finds fewer keys than before",
    unit="fall of the hit ratio",
    needs=needs("hits", "misses"),
    limits=Limits(warn=0.2, critical=0.5, samples=4, least=500, times=2),
    least="reads in each half of the window",
    measure=measure,
    fix="make the bound larger, or find out which keys are new",
    promql=(
        "rate(threadproof_hits_reads_total[5m] offset 30m) / "
        "(rate(threadproof_hits_reads_total[5m] offset 30m) + "
        "rate(threadproof_misses_reads_total[5m] offset 30m)) - "
        "rate(threadproof_hits_reads_total[5m]) / (rate(threadproof_hits_reads_total[5m]) + "
        "rate(threadproof_misses_reads_total[5m]))"
    ),
    page=__doc__ or "",
)
