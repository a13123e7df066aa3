"""Metrics of the whole process, which no structure's own stats contain: a sum would count them twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from threadproof.stats.record import Stats, gauge

RETIRED_BYTES = 9  # the index in the tuple of _core.HashMap._stats()


@dataclass(frozen=True, slots=True)
class ProcessStats(Stats):
    """The state of what all structures of a process share."""

    retired_bytes: int = field(
        metadata=gauge(
            "bytes", "memory of tables that were replaced, waiting for threads that may still read it"
        )
    )


def process() -> ProcessStats:
    """The metrics of this process. Takes no lock, and the same time for any number of structures."""
    return ProcessStats(retired_bytes=some_map()._stats()[RETIRED_BYTES])


@cache
def some_map() -> Any:
    """The reclaimer has no object of its own in Python; every native HashMap reports its bytes."""
    from threadproof import _core  # here: the rest of this room works where the extension is not built

    native: Any = type("SomeMap", (_core.HashMap,), {})
    return native()
