"""The second channel of a leak: the lines that allocate what a map holds."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from threadproof.findings import Finding, Place, Step

SAMPLE = 2000  # entries of a map that are looked at: some milliseconds
FRAMES = 5  # calls of a stack that are kept: the allocation and its callers
SESSION = 1.0  # seconds for which allocations are traced


@dataclass(frozen=True)
class AllocationSite:
    """A line that allocates values, or keys, of a map."""

    stack: tuple[Place, ...]  # innermost call first
    entries: int  # of the sampled ones
    sampled: int  # entries of the sample whose allocation was traced
    grown: int  # bytes by which all that the line has allocated grew during the session

    @property
    def share(self) -> float:
        """The line's share in the traced entries."""
        return self.entries / self.sampled


def allocation_sites(structure: Any, seconds: float = SESSION, count: int = 3) -> list[AllocationSite]:
    """The lines that allocate the entries of a map that came during the session, the most frequent first.

    Traces the program's allocations for so many seconds, which makes each several times as slow meanwhile; if
    tracemalloc is tracing already, the entries that came before are judged, too. Blocks, and iterates over
    the map. Empty if no traced entry is in it: only lines that also allocated more than was freed are
    returned.
    """
    with tracing():
        before = tracemalloc.take_snapshot()
        time.sleep(seconds)
        after = tracemalloc.take_snapshot()
        traces = [trace for entry in sample(structure) if (trace := trace_of(entry)) is not None]
    grown = {stat.traceback[0]: stat.size_diff for stat in after.compare_to(before, "lineno")}
    stacks = Counter(traces).most_common()
    sites = [
        AllocationSite(places_of(trace), times, len(traces), grown.get(newest(trace), 0))
        for trace, times in stacks
    ]
    return [site for site in sites if site.grown > 0][:count]


class tracing:  # noqa: N801 - a context manager, used as a statement
    """Trace allocations inside the block, and stop afterwards if nobody did so before."""

    def __enter__(self) -> None:
        self.ours = not tracemalloc.is_tracing()
        if self.ours:
            tracemalloc.start(FRAMES)

    def __exit__(self, *exception: object) -> None:
        if self.ours:
            tracemalloc.stop()


def sample(structure: Any) -> Iterator[tuple[Any, Any]]:
    """Entries of the map: the newest where it has an order, else the first that iteration yields."""
    items: Iterable[tuple[Any, Any]] = structure.items()
    try:
        return islice(reversed(items), SAMPLE)  # type: ignore[call-overload]  # else TypeError
    except TypeError:
        return iter(spread(items, len(structure)))


def spread(items: Iterable[tuple[Any, Any]], size: int) -> Iterator[tuple[Any, Any]]:
    """Every n-th entry of a map without an order."""
    return islice(items, 0, None, max(1, size // SAMPLE))


def trace_of(entry: tuple[Any, Any]) -> tracemalloc.Traceback | None:
    key, value = entry
    return tracemalloc.get_object_traceback(value) or tracemalloc.get_object_traceback(key)


def newest(trace: tracemalloc.Traceback) -> tracemalloc.Frame:
    return trace[-1]  # tracemalloc lists the oldest call first


def places_of(trace: tracemalloc.Traceback) -> tuple[Place, ...]:
    return tuple(Place(frame.filename, frame.lineno) for frame in reversed(trace))


def with_allocations(finding: Finding, structure: Any) -> Finding:
    """The finding with a step for each line that allocates what the structure holds."""
    sites = allocation_sites(structure) if hasattr(structure, "items") else []
    steps = [Step(words(site), site.stack) for site in sites]
    return replace(finding, steps=(*finding.steps, *steps))


def words(site: AllocationSite) -> str:
    grown = f"{site.grown / 1024:,.0f} KiB more in {SESSION:.0f} s"
    return f"{site.share:.0%} of the {site.sampled:,} sampled entries were allocated here, {grown}"
