"""Stats: a frozen record of metrics. Each field has a kind, a unit and one line of help, as data.

    @dataclass(frozen=True, slots=True)
    class QueueStats(Stats):
        size: int = field(metadata=gauge("items", "items in the queue"))
        puts: int = field(metadata=counter("items", "items put since the queue was made"))

`QueueStats.metrics()` lists them without an instance, `queue.stats().as_dict()` has their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

Value = int | float | bool | tuple[int, ...]
METRIC = "threadproof metric"  # the key in a field's metadata, which other libraries use as well


class Kind(Enum):
    """How a metric behaves over time, which decides how it may be used."""

    COUNTER = "counter"  # only grows while the structure lives: look at its rate
    GAUGE = "gauge"  # goes up and down: look at its value; a bool is 0 or 1
    RATIO = "ratio"  # a quotient without a unit: do not add several
    DURATION = "duration"  # how long something took, in seconds: the last time, or the longest


@dataclass(frozen=True)
class Metric:
    """The meaning of a field of a Stats. `unit` is a plural noun, such as "keys" or "seconds"."""

    name: str
    kind: Kind
    unit: str
    help: str


def counter(unit: str, help: str) -> Mapping[str, object]:  # noqa: A002 - the name it has in Prometheus
    """The metadata of a field that counts events."""
    return {METRIC: (Kind.COUNTER, unit, help)}


def gauge(unit: str, help: str) -> Mapping[str, object]:  # noqa: A002
    """The metadata of a field that is a state; a tuple has one value for each part of the structure."""
    return {METRIC: (Kind.GAUGE, unit, help)}


def ratio(help: str) -> Mapping[str, object]:  # noqa: A002
    """The metadata of a field that is a quotient."""
    return {METRIC: (Kind.RATIO, "ratio", help)}


def duration(help: str) -> Mapping[str, object]:  # noqa: A002
    """The metadata of a field in seconds."""
    return {METRIC: (Kind.DURATION, "seconds", help)}


@dataclass(frozen=True, slots=True)
class Stats:
    """Metrics of one structure at about one moment; each kind of structure adds its own fields."""

    @classmethod
    def metrics(cls) -> tuple[Metric, ...]:
        """The metrics in the order of the fields; TypeError for a field that has no metadata."""
        found = []
        for field in fields(cls):
            if METRIC not in field.metadata:
                raise TypeError(
                    f"{cls.__name__}.{field.name} has no kind, unit and help; "
                    'write field(metadata=gauge("items", "what it is"))'
                )
            found.append(Metric(field.name, *field.metadata[METRIC]))
        return tuple(found)

    def as_dict(self) -> dict[str, Value]:
        """The values by name, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
