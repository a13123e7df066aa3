"""Entries come, and few of them go.

## Meaning

The structure's size grows from sample to sample. The check looks at the trend of the window (the Theil-Sen
slope), which a few wild samples do not change, and gives it as growth per hour relative to the size. It stays
silent if entries are removed nearly as fast as they come (the falls between samples are a fifth of the
rises), if the growth is ending (the later half of the window grows half as fast as the earlier one), and
for structures with a bound. In a SyncMap, the cells of deleted keys count as well: they keep their keys.

## Impact

The process takes more memory until it is killed. Iteration, snapshots and collections of garbage take longer.

## Diagnosis

Which code stores, and which should remove? `threadproof.watch.allocation_sites(m)` shows the lines that
allocate the values that the map holds; `Monitor(confirm_leaks=True)` adds them to the finding. Keys that are
made of identities that never come again (ids of requests, sessions, tasks) are the usual cause. A map that is
filled once at the start is not ill: the finding ends when the growth does.

## Mitigation

Remove entries when their owner ends, or use a structure with a bound or expiry. Restarting frees the memory.
"""

from __future__ import annotations

from statistics import median

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.trend import falls_per_rise, slope
from threadproof.watch.window import Number, Window

FALLS = 0.2  # of the rises: a map whose entries come and go has about as many falls
ENDING = 0.5  # a table that is being filled to some size grows more and more slowly
HOUR = 3600.0


def measure(window: Window, limits: Limits) -> Reading | None:
    if window.bounded:
        return Reading(0.0)
    sizes = sizes_of(window)
    typical = median(sizes)
    if typical < limits.least or window.seconds <= 0:
        return None
    if sizes[-1] <= sizes[0] or falls_per_rise(sizes) > FALLS or is_ending(window):
        return Reading(0.0)
    level = slope(window.times(), sizes) * HOUR / typical
    return Reading(level, f"from {sizes[0]:,} to {sizes[-1]:,} entries in {window.seconds:.0f} s")


def sizes_of(window: Window) -> list[Number]:
    """Entries; in a SyncMap cells, which stay when their keys are deleted."""
    cells = zip(window.series("read_size"), window.series("dirty_size"), strict=True)
    return [max(size, read + dirty) for size, (read, dirty) in zip(window.series("size"), cells, strict=True)]


def is_ending(window: Window) -> bool:
    early, late = (slope(half.times(), sizes_of(half)) for half in window.halves())
    return late < ENDING * early


CHECK = Check(
    name="leak",
    message="{structure} grows, and little is removed from it",
    unit="growth per hour, relative to the size",
    needs=needs("size"),
    limits=Limits(warn=0.5, critical=10.0, samples=15, least=1000, times=3),
    least="entries",
    measure=measure,
    fix="remove entries when their owner ends, or use a cache with a bound",
    promql="deriv(threadproof_size_keys[15m]) * 3600 / (threadproof_size_keys >= 1000)",
    page=__doc__ or "",
)
