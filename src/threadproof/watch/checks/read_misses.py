"""Many reads of a SyncMap do not find their key in a read table.

## Meaning

A key that is not in a read table is looked for in a dirty one, under the map's mutex. The level is the
share of such lookups in all, over the window.

## Impact

Threads wait for each other at the mutex: reads are then slower than with any other map.

## Diagnosis

`misses` and `read_hits` in the map's stats. New keys that are read once or twice, and keys that are absent in
a map that often gets new keys, cause misses.

## Mitigation

Use a HashMap: its reads take no lock, whatever is stored.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    lookups = window.growth("misses", "read_hits")
    if lookups < limits.least:
        return None
    share = window.growth("misses") / lookups
    return Reading(share, f"{percent(share)} of {lookups:,} lookups took the mutex in {window.seconds:.0f} s")


CHECK = Check(
    name="read-misses",
    message="many reads of {structure} take its mutex",
    unit="share of the lookups",
    needs=needs("misses", "read_hits"),
    limits=Limits(warn=0.3, critical=0.7, samples=2, least=1000, times=2),
    least="lookups in the window",
    measure=measure,
    fix="use a HashMap, whose reads take no lock",
    promql=(
        "rate(threadproof_misses_lookups_total[5m]) / (rate(threadproof_misses_lookups_total[5m]) "
        "+ rate(threadproof_read_hits_reads_total[5m]) > 10)"
    ),
    page=__doc__ or "",
)
