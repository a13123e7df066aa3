"""Metrics by name, as Prometheus wants them: one prefix, base units, `_total` for counters.

The field `size` with the unit keys becomes `threadproof_size_keys`, with the labels `name` and `kind`; the
counter `misses`, of lookups, `threadproof_misses_lookups_total`. The unit is left out where the field's name
has it, as in `threadproof_bytes`. So fields of one name and different units are different metrics, and a sum
over all labels makes sense. Keys are never labels. Metrics of the process begin with `threadproof_process`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from threadproof.stats import Kind, Metric, ProcessStats, Stats, Value
from threadproof.watch.export.snapshot import Snapshot

PREFIX = "threadproof"
Labels = Mapping[str, str]


@dataclass
class Family:
    """A metric, and its value for each structure that has it. `name` has no `_total`."""

    name: str
    is_counter: bool
    unit: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """A field of a Stats as a metric."""

    field: str
    name: str
    is_counter: bool
    unit: str
    help: str


def name_of(metric: Metric, prefix: str = PREFIX) -> str:
    """The metric's name, without `_total`."""
    words = [prefix, metric.name]
    if metric.unit != "boolean" and metric.unit not in metric.name.split("_"):
        words.append(metric.unit)
    return "_".join(words)


def columns(record: type[Stats]) -> tuple[Column, ...]:
    """The metrics of a record."""
    if record not in known:
        prefix = f"{PREFIX}_process" if record is ProcessStats else PREFIX
        known[record] = tuple(
            Column(each.name, name_of(each, prefix), each.kind is Kind.COUNTER, each.unit, each.help)
            for each in record.metrics()
        )
    return known[record]


known: dict[type[Stats], tuple[Column, ...]] = {}  # metrics() reads metadata, and a scrape asks for each row


def values_of(stats: Stats) -> Iterator[tuple[Column, float]]:
    """The metrics that are one number; one that has a value for each part has too many for a time series."""
    for column in columns(type(stats)):
        value: Value = getattr(stats, column.field)
        if not isinstance(value, tuple):
            yield column, float(value)


def families(snapshot: Snapshot) -> list[Family]:
    """All metrics, sorted by name."""
    found: dict[str, Family] = {}

    def add(column: Column, labels: Labels, value: float) -> None:
        if column.name not in found:
            found[column.name] = Family(column.name, column.is_counter, column.unit, column.help)
        found[column.name].samples.append((labels, value))

    for row in snapshot.rows:
        labels = {"name": row.label, "kind": row.kind}
        for column, value in values_of(row.stats):
            add(column, labels, value)
    for column, value in values_of(snapshot.process):
        add(column, {}, value)
    for finding in snapshot.findings:
        labels = {"check": finding.rule, "name": finding.subject, "severity": str(finding.severity)}
        add(FINDINGS, labels, 1.0)
    add(FAILURES, {}, float(snapshot.failures))
    return sorted(found.values(), key=lambda family: family.name)


FINDINGS = Column("", f"{PREFIX}_finding", False, "", "a finding of a health check; absent if all is well")
FAILURES = Column(
    "", f"{PREFIX}_scrape_failures", False, "", "structures whose stats() raised in this scrape"
)
