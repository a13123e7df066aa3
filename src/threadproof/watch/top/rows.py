"""A row of the table for each structure, from two answers or more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEPT = 20  # sizes of a sparkline
BARS = "▁▂▃▄▅▆▇█"
RANKS = {"unknown": 0, "ok": 1, "warning": 2, "error": 3}
SIZES = ("size", "waiting", "shared")  # the first of these that a structure has is its size
WAITS = ("lock_waits", "contended", "retries", "waits")


@dataclass(frozen=True)
class Row:
    """A structure as the table shows it; None where it has no such metric, or no second answer yet."""

    name: str
    kind: str
    size: float | None
    growth: float | None  # of the size, per second
    hits: float | None  # the share of reads that found something
    waits: float | None  # per second
    verdict: str
    trend: str  # a sparkline of the size
    stats: Mapping[str, Any] = field(default_factory=dict)


class Rows:
    """Remembers the last answers; one for each program."""

    def __init__(self) -> None:
        self._before: dict[str, Mapping[str, Any]] = {}
        self._sizes: dict[str, deque[float]] = {}
        self._time = 0.0

    def add(self, answer: Mapping[str, Any], now: float | None = None) -> list[Row]:
        """The rows of an answer, the worst verdicts first."""
        now = time.monotonic() if now is None else now
        seconds = now - self._time if self._before else 0.0
        rows = [self._row(name, each, answer, seconds) for name, each in answer["structures"].items()]
        self._before = {name: each["stats"] for name, each in answer["structures"].items()}
        self._time = now
        return sorted(rows, key=lambda row: (-RANKS[row.verdict], row.name))

    def _row(self, name: str, each: Mapping[str, Any], answer: Mapping[str, Any], seconds: float) -> Row:
        stats, before = each["stats"], self._before.get(name)
        size = next((stats[key] for key in SIZES if key in stats), None)
        sizes = self._sizes.setdefault(name, deque(maxlen=KEPT))
        if size is not None:
            sizes.append(size)
        verdicts = [verdict["verdict"] for verdict in answer["verdicts"] if verdict["structure"] == name]
        return Row(
            name,
            each["kind"],
            size,
            rate(stats, before, SIZES, seconds),
            hit_ratio(stats),
            rate(stats, before, WAITS, seconds),
            max(verdicts, key=RANKS.__getitem__, default="unknown"),
            sparkline(sizes),
            stats,
        )


def rate(
    stats: Mapping[str, Any], before: Mapping[str, Any] | None, names: tuple[str, ...], seconds: float
) -> float | None:
    """The growth per second of the first metric that the structure has."""
    name = next((each for each in names if each in stats), None)
    if name is None or before is None or name not in before or seconds <= 0:
        return None
    change: float = stats[name] - before[name]
    return change / seconds


def hit_ratio(stats: Mapping[str, Any]) -> float | None:
    found = stats.get("hits", stats.get("read_hits"))
    if found is None or "misses" not in stats or not found + stats["misses"]:
        return None
    share: float = found / (found + stats["misses"])
    return share


def sparkline(sizes: deque[float]) -> str:
    if not sizes:
        return ""
    low, high = min(sizes), max(sizes)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((size - low) * scale)] for size in sizes)
