"""Observable instruments for OpenTelemetry: pip install 'threadproof[otel]'.

    from threadproof.watch.export.otel import observe
    observe(metrics.get_meter("threadproof"))

Names are those of the fields with dots, and the unit where that is a noun: `threadproof.size.keys`, so that
one name has one unit. Units are those of UCUM: `{key}`, `By`, `s`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from threadproof.stats import Kind, Metric, ProcessStats, Registry, Stats, registry
from threadproof.watch.export.records import records
from threadproof.watch.export.snapshot import Snapshot, take

UNITS = {"seconds": "s", "bytes": "By", "ratio": "1", "boolean": "1"}
FRESH = 0.5  # seconds: all instruments are read in one collection, and share one snapshot


class Instruments:
    """One instrument for each metric of the records that it knows."""

    def __init__(self, meter: Meter, watched: Registry = registry) -> None:
        self.meter = meter
        self.registry = watched
        self.names: set[str] = set()
        self._lock = threading.Lock()
        self._taken = -FRESH
        self._snapshot: Snapshot | None = None

    def add(self, record: type[Stats]) -> None:
        """Make the instruments for a record, but for those that there are."""
        for metric in record.metrics():
            name = name_of(record, metric)
            if name in self.names:
                continue
            self.names.add(name)
            make = {
                Kind.COUNTER: self.meter.create_observable_counter,
                Kind.GAUGE: self.meter.create_observable_up_down_counter,
            }.get(metric.kind, self.meter.create_observable_gauge)
            make(name, [self.reader(name)], unit_of(metric.unit), metric.help)

    def reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda options: list(self.observations(name))

    def observations(self, name: str) -> Iterator[Observation]:
        snapshot = self.snapshot()
        rows = [(row.stats, {"name": row.label, "kind": row.kind}) for row in snapshot.rows]
        for stats, attributes in [*rows, (snapshot.process, {})]:
            for metric in stats.metrics():
                if name_of(type(stats), metric) == name:
                    value = getattr(stats, metric.name)
                    if not isinstance(value, tuple):
                        yield Observation(value + 0, attributes)  # a bool as an int

    def snapshot(self) -> Snapshot:
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._taken > FRESH:
                self._snapshot, self._taken = take(self.registry), time.monotonic()
            return self._snapshot


def observe(meter: Meter, watched: Registry = registry) -> Instruments:
    """Make an instrument for each metric of every record that is defined now.

    `add` of the result makes those of later ones.
    """
    instruments = Instruments(meter, watched)
    for record in records():
        instruments.add(record)
    return instruments


def name_of(record: type[Stats], metric: Metric) -> str:
    """`threadproof.size.keys`; base units are left out, and nouns that the field's name has."""
    parts = ["threadproof", "process"] if record is ProcessStats else ["threadproof"]
    noun = metric.unit not in UNITS and metric.unit not in metric.name.split("_")
    return ".".join([*parts, metric.name, *[metric.unit] * noun])


def unit_of(unit: str) -> str:
    if unit in UNITS:
        return UNITS[unit]
    singular = f"{unit[:-3]}y" if unit.endswith("ies") else unit.removesuffix("s")
    return f"{{{singular}}}"
