"""The health checks, one in each module, and the table of them.

A new check is a module with a value CHECK, whose docstring is its runbook, and a row in CHECKS.
"""

from __future__ import annotations

from threadproof.watch.checks import (
    bad_hashes,
    callbacks,
    contended,
    dirty_table,
    hit_ratio,
    hot_key,
    leak,
    load_failures,
    long_computation,
    promotion_pauses,
    read_misses,
    resizes,
    retired_memory,
    stale_keys,
    staleness,
    stripes,
    thrashing,
    waiting,
)
from threadproof.watch.checks.check import Check, Limits, Reading

__all__ = ["CHECKS", "Check", "Limits", "Reading"]

CHECKS: tuple[Check, ...] = (
    leak.CHECK,
    stale_keys.CHECK,
    read_misses.CHECK,
    dirty_table.CHECK,
    promotion_pauses.CHECK,
    resizes.CHECK,
    hot_key.CHECK,
    waiting.CHECK,
    contended.CHECK,
    long_computation.CHECK,
    stripes.CHECK,
    bad_hashes.CHECK,
    retired_memory.CHECK,
    hit_ratio.CHECK,
    thrashing.CHECK,
    load_failures.CHECK,
    staleness.CHECK,
    callbacks.CHECK,
)
