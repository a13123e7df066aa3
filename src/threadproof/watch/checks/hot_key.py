"""One key has a large share of a map's calls.

## Meaning

The share of the most frequent key in the calls of the last sampling session. Sessions are short, and only
there if they were asked for: `Monitor(sample_keys=2.0)` samples one map for two seconds in each interval.

## Impact

Threads that change the value of one key wait for each other, whatever the map. On free-threaded Python, even
threads that only read one value can slow each other down: each of them counts references to it.

## Diagnosis

`threadproof.watch.hot_keys(m)` returns the most frequent keys, and their shares.

## Mitigation

Split the value: an `AtomicIntArray` for a counter, one entry for each thread, a copy that each thread keeps
for a moment.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    hot = window.hot_keys
    if hot is None or hot.calls < limits.least:
        return None
    return Reading(hot.share, f"{percent(hot.share)} of {hot.calls:,} sampled calls have one key")


CHECK = Check(
    name="hot-key",
    message="one key has a large share of the calls of {structure}",
    unit="share of the calls",
    needs=needs("size"),
    limits=Limits(warn=0.2, critical=0.5, samples=1, least=500),
    least="sampled calls",
    measure=measure,
    fix="split the value, or let each thread keep a copy for a moment",
    page=__doc__ or "",
)
