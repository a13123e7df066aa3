"""The stats of every watched structure at about one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threadproof.findings import Finding
from threadproof.stats import ProcessStats, Registry, Site, Stats, process, registry


@dataclass(frozen=True)
class Row:
    """The stats of one structure."""

    label: str
    kind: str
    stats: Stats
    site: Site | None = None


@dataclass(frozen=True)
class Snapshot:
    """All rows, the process, and the findings that a monitor has."""

    rows: Sequence[Row]
    process: ProcessStats
    failures: int = 0  # structures whose stats() raised
    findings: Sequence[Finding] = ()


def take(watched: Registry = registry, findings: Sequence[Finding] = ()) -> Snapshot:
    """Call stats() of every watched structure; one that raises is counted and left out."""
    rows, failures = [], 0
    for each in watched.watched():
        try:
            rows.append(Row(each.label, each.kind, each.structure.stats(), each.site))
        except Exception:  # a structure of the program's own
            failures += 1
    return Snapshot(rows, process(), failures, findings)
