"""The entries of a ShardedMap are spread unevenly over its shards.

## Meaning

The size of the largest shard over the average one. 1.0 is even.

## Impact

Threads whose keys are in the large shard wait for one lock, as with a LockedMap.

## Diagnosis

`sizes` in the map's stats. With good hashes, the largest of 64 shards has little more than the average once
there are some thousand keys.

## Mitigation

Give the keys a better `__hash__`: one in which every field counts. `hash((a, b, c))` does that.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    if window.last("size") < limits.least:
        return None
    level = window.last("imbalance")
    return Reading(
        level, f"the largest shard has {level:.1f} times the average of {window.last('size'):,} keys"
    )


CHECK = Check(
    name="stripes",
    message="the keys of {structure} are spread unevenly over its shards",
    unit="largest shard over the average",
    needs=needs("imbalance", "size"),
    limits=Limits(warn=4.0, critical=16.0, samples=1, least=2000),
    least="keys",
    measure=measure,
    fix="give the keys a __hash__ in which every field counts",
    promql="threadproof_imbalance_ratio and threadproof_size_keys >= 2000",
    page=__doc__ or "",
)
