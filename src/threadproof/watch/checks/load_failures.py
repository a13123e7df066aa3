"""The loads of a cache fail.

## Meaning

The share of loads that raised, in the window. Loads in the background, which refresh values, count as well.

## Impact

Callers get the loader's exception. Where a refresh fails, the old value stays, and grows older.

## Diagnosis

Call the loader for one key, and look at its exception. Is that from which it loads there?

## Mitigation

`cache_errors` of a Cache keeps failing keys from being loaded again and again.
"""

from __future__ import annotations

from threadproof.watch.checks.check import Check, Limits, Reading, needs, percent
from threadproof.watch.window import Window


def measure(window: Window, limits: Limits) -> Reading | None:
    loads = window.growth("loads", "load_failures")
    if loads < limits.least:
        return None
    share = window.growth("load_failures") / loads
    return Reading(share, f"{percent(share)} of {loads:,} loads in {window.seconds:.0f} s")


CHECK = Check(
    name="load-failures",
    message="the loads of {structure} fail",
    unit="share of the loads",
    needs=needs("loads", "load_failures"),
    limits=Limits(warn=0.1, critical=0.5, samples=2, least=10),
    least="loads in the window",
    measure=measure,
    fix="see which exception the loader raises",
    promql=(
        "rate(threadproof_load_failures_loads_total[5m]) / "
        "(rate(threadproof_load_failures_loads_total[5m]) + rate(threadproof_loads_total[5m]) > "
        "0)"
    ),
    page=__doc__ or "",
)
