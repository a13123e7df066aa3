"""A cache evicts an entry for nearly every read.

## Meaning

Evictions over reads, in the window. Near 1, nearly every read misses, loads, and evicts what an earlier one
has loaded: entries go before they are used again.

## Impact

The cache costs its own time and memory and saves nothing.

## Diagnosis

Compare the bound with the number of keys in use; `half_hit_ratio` and `double_hit_ratio` estimate other
bounds. A scan through many keys shows the same for a while.

## Mitigation

A bound above the number of keys in use; no cache, if keys do not come again.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    reads = window.growth("hits", "misses")
    if reads < limits.least:
        return None
    evictions = window.growth("evictions")
    return Reading(
        evictions / reads, f"{evictions:,} evictions for {reads:,} reads in {window.seconds:.0f} s"
    )


CHECK = Check(
    name="thrashing",
    message="{structure} evicts entries before they are used again",
    unit="evictions per read",
    needs=needs("hits", "misses", "evictions"),
    limits=Limits(warn=0.5, critical=0.9, samples=2, least=500, times=3),
    least="reads in the window",
    measure=measure,
    fix="make the bound larger than the number of keys in use",
    promql=(
        "rate(threadproof_evictions_entries_total[5m]) / (rate(threadproof_hits_reads_total[5m]) "
        "+ rate(threadproof_misses_reads_total[5m]) > 10)"
    ),
    page=__doc__ or "",
)
