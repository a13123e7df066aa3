"""A SyncMap's dirty tables are large beside its read tables, and stay so.

## Meaning

New keys wait in dirty tables until they have been looked for often enough. The level is the number of cells
in dirty tables over that in read tables. A map whose keys are all stored once stays below a quarter.

## Impact

Every access to a key in a dirty table takes the map's mutex.

## Diagnosis

If keys are stored and deleted all the time, new cells keep coming, and `promotions` grow, too. If
promotions stand still while `dirty_size` grows, keys are stored that nobody reads.

## Mitigation

Use a HashMap for keys that come and go, or are seldom read.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    dirty, read = window.last("dirty_size"), window.last("read_size")
    if dirty + read < limits.least:
        return None
    return Reading(dirty / max(read, 1), f"{dirty:,} cells in dirty tables, {read:,} in read tables")


CHECK = Check(
    name="dirty-table",
    message="the dirty tables of {structure} are large beside its read tables",
    unit="dirty cells over read cells",
    needs=needs("dirty_size", "read_size"),
    limits=Limits(warn=0.5, critical=5.0, samples=1, least=512, times=3),
    least="cells",
    measure=measure,
    fix="use a HashMap for keys that come and go, or are seldom read",
    promql="threadproof_dirty_size_cells / (threadproof_read_size_cells >= 512)",
    page=__doc__ or "",
)
