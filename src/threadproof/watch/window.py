"""Window: the last samples of one structure's stats, as a check reads them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threadproof.stats import HasStats, Site, Stats, Value, Watched
from threadproof.watch.key_sampling import HotKeys

Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of a structure's metrics at about one moment, and how many threads the program had then."""

    time: float  # seconds, of time.monotonic
    values: Mapping[str, Value]
    threads: int = 1


@dataclass(frozen=True)
class Window:
    """The last samples of one structure, oldest first; at least one. A check reads only this."""

    label: str  # the structure's name, such as `sessions#2`
    kind: str  # the name of its type
    samples: Sequence[Sample]
    bounded: bool = False  # whether it has a bound, as a cache has, so that it stops growing by itself
    hot_keys: HotKeys | None = None  # the last sampling of its keys, if there was one
    site: Site | None = None  # the call that named it

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return self.samples[-1].time - self.samples[0].time

    @property
    def fields(self) -> frozenset[str]:
        """The names of the metrics."""
        return frozenset(self.samples[-1].values)

    def last(self, name: str) -> Number:
        """The metric's newest value; 0 for a metric that the structure does not have."""
        return number(self.samples[-1].values.get(name, 0))

    def first(self, name: str) -> Number:
        """The metric's oldest value."""
        return number(self.samples[0].values.get(name, 0))

    def series(self, name: str) -> list[Number]:
        """The metric's values, oldest first."""
        return [number(sample.values.get(name, 0)) for sample in self.samples]

    def times(self) -> list[float]:
        """The time of each sample."""
        return [sample.time for sample in self.samples]

    def growth(self, *names: str) -> Number:
        """By how much counters have grown since the first sample, all together."""
        return sum(self.last(name) - self.first(name) for name in names)

    def halves(self) -> tuple[Window, Window]:
        """The earlier and the later half; the sample between them is in both."""
        middle = len(self.samples) // 2
        return self.with_samples(self.samples[: middle + 1]), self.with_samples(self.samples[middle:])

    def with_samples(self, samples: Sequence[Sample]) -> Window:
        return Window(self.label, self.kind, samples, self.bounded, self.hot_keys, self.site)


def number(value: Value) -> Number:
    """A metric with one value for each part of a structure counts as their sum."""
    return sum(value) if isinstance(value, tuple) else value


class History:
    """The samples of one structure so far, for one thread at a time. It does not keep the structure alive."""

    def __init__(self, watched: Watched, length: int) -> None:
        self.reference: weakref.ref[Any] = weakref.ref(watched.structure)
        self.samples: deque[Sample] = deque(maxlen=length)
        self.hot_keys: HotKeys | None = None

    def is_of(self, structure: HasStats) -> bool:
        """Another structure may have the same address after the first one is gone."""
        return self.reference() is structure

    def add(self, stats: Stats, now: float, threads: int) -> None:
        self.samples.append(Sample(now, stats.as_dict(), threads))

    def window(self, watched: Watched) -> Window:
        return Window(
            watched.label,
            watched.kind,
            tuple(self.samples),
            is_bounded(watched.structure),
            self.hot_keys,
            watched.site,
        )


def is_bounded(structure: HasStats) -> bool:
    """Whether the structure removes entries by itself when it has too many."""
    return any(getattr(structure, name, None) is not None for name in ("max_size", "max_weight", "maxsize"))
