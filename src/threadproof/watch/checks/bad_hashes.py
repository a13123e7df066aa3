"""Many keys of a map have equal hashes, or hashes that differ little.

## Meaning

The longest chain of buckets among those that the stats look at. A chain of more than three buckets, with
several keys in each, is nearly impossible with good hashes.

## Impact

Every access to such a key compares it with all others in the chain: time grows with their number.

## Diagnosis

Look at `__hash__` of the keys' class. A constant, a hash of a field that most keys share, and ints that are
multiples of a large power of two, put all keys into few chains. Keys from outside that were chosen to collide
are an attack.

## Mitigation

Give the keys a `__hash__` in which every field counts; refuse keys from outside that are too many.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    chain = window.last("longest_chain")
    return Reading(chain, f"a chain of {chain:,} buckets, of {window.last('size'):,} keys in all")


CHECK = Check(
    name="bad-hashes",
    message="many keys of {structure} have equal hashes",
    unit="buckets in the longest chain",
    needs=needs("longest_chain", "size"),
    limits=Limits(warn=4.0, critical=32.0, samples=1),
    measure=measure,
    fix="give the keys a __hash__ in which every field counts",
    promql="threadproof_longest_chain_buckets",
    page=__doc__ or "",
)
