"""Much of a SyncMap's tables are cells of deleted keys.

## Meaning

A deleted key's cell stays in its read table, without the value but with the key, until a new read table is
made. The level is the share of such cells. Above 0.3, fewer than 0.7 of the slots are valid.

## Impact

Memory of the deleted keys, and longer searches and iterations.

## Diagnosis

Compare `tombstones`, `read_size` and `promotions` in the map's stats. If promotions stand still, no new keys
come in, and nothing causes a new read table.

## Mitigation

A map whose keys come and go is better a HashMap, which frees a deleted key's place at once. `clear` empties
the tables; so does a copy, `SyncMap(m)`.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    cells = window.last("read_size") + window.last("dirty_size")
    if cells < limits.least:
        return None
    stale = window.last("tombstones")
    return Reading(
        stale / cells, f"{stale:,} of {cells:,} cells ({percent(stale / cells)}) are of deleted keys"
    )


CHECK = Check(
    name="stale-keys",
    message="much of {structure} is cells of deleted keys",
    unit="share of the cells",
    needs=needs("tombstones", "read_size", "dirty_size"),
    limits=Limits(warn=0.3, critical=0.8, samples=1, least=512, times=2),
    least="cells",
    measure=measure,
    fix="use a HashMap for keys that come and go",
    promql=(
        "threadproof_tombstones_cells / (threadproof_read_size_cells + threadproof_dirty_size_cells >= 512)"
    ),
    page=__doc__ or "",
)
