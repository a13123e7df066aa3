"""check(): the checks once, for a test or a readiness probe."""

from __future__ import annotations

import time
from collections.abc import Sequence

from threadproof.findings import Finding
from threadproof.stats import Registry, registry
from threadproof.watch.checks import CHECKS, Check
from threadproof.watch.engine import Engine, LimitChanges

SAMPLES = 10  # enough for the checks that look at a trend


def check(
    seconds: float = 0.0,
    *,
    registry: Registry = registry,
    checks: Sequence[Check] = CHECKS,
    limits: LimitChanges | None = None,
) -> list[Finding]:
    """The findings about all watched structures, the worst first.

    At once, only states can be judged: long chains, stale keys, shards out of balance, computations that take
    long. With `seconds`, samples are taken for so long, and all checks run; blocks meanwhile. A finding does
    not have to be seen several times in a row, as a Monitor wants it.
    """
    if not seconds >= 0:
        raise ValueError(f"check() needs seconds of at least 0, got {seconds}")
    engine = Engine(registry, checks, {**at_once(checks), **(limits or {})}, SAMPLES)
    engine.evaluate()
    for _ in range(SAMPLES - 1 if seconds else 0):
        time.sleep(seconds / (SAMPLES - 1))
        engine.evaluate()
    return engine.findings


def at_once(checks: Sequence[Check]) -> dict[str, dict[str, float] | None]:
    return {each.name: {"times": 1} for each in checks}
