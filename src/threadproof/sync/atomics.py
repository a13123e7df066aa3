"""The atomics, which are native, and their stats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from threadproof._core import AtomicFlag, AtomicFloat, AtomicInt, AtomicIntArray, AtomicReference, provide
from threadproof.stats import Stats, counter

__all__ = ["AtomicFlag", "AtomicFloat", "AtomicInt", "AtomicIntArray", "AtomicReference", "AtomicStats"]

LoadOrder = Literal["relaxed", "acquire", "seq_cst"]
StoreOrder = Literal["relaxed", "release", "seq_cst"]
Order = Literal["relaxed", "acquire", "release", "acq_rel", "seq_cst"]


@dataclass(frozen=True, slots=True)
class AtomicStats(Stats):
    """How contended an atomic is. No thread ever waits for an atomic, but a step may have to begin again."""

    contended: int = field(
        metadata=counter("retries", "times that a step began again because another thread's came in between")
    )


provide("AtomicStats", AtomicStats)
