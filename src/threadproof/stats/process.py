"""Metrics of the whole process, which no structure's own stats contain: a sum would count them twice."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from threadproof.stats.record import Stats, gauge


@dataclass(frozen=True, slots=True)
class ProcessStats(Stats):
    """The state that all structures of a process share."""

    retired_bytes: int = field(
        metadata=gauge(
            "bytes", "memory of tables that were replaced, waiting for threads that may still read it"
        )
    )
    threads: int = field(
        metadata=gauge("threads", "threads of the program, as the module threading counts them")
    )
    known_threads: int = field(
        metadata=gauge(
            "threads", "threads that have used a structure and not ended; with a GIL, some are not counted"
        )
    )


def process() -> ProcessStats:
    """The metrics of this process. Takes no lock, and the same time for any number of structures."""
    from threadproof import _core  # here: the rest of this package works where the extension is not built

    return ProcessStats(_core.retired_bytes(), threading.active_count(), _core.known_threads())
