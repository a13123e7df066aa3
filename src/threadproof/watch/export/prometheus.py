"""A collector for prometheus_client: pip install 'threadproof[prometheus]'.

    from threadproof.watch.export.prometheus import register
    register()

It is for one process with many threads. The client's multiprocess mode leaves out all collectors of this
kind; let each process serve its own /metrics there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from threadproof.findings import Finding
from threadproof.stats import Registry, registry
from threadproof.watch.export.families import Family, families
from threadproof.watch.export.snapshot import take


class Collector:
    """Reads the stats of all watched structures when it is scraped. It keeps none of them alive."""

    def __init__(
        self, watched: Registry = registry, findings: Callable[[], Sequence[Finding]] = tuple
    ) -> None:
        """`findings()` are exported as well: `lambda: monitor.findings`."""
        self.registry = watched
        self.findings = findings

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        for family in families(take(self.registry, self.findings())):
            yield metric_of(family)

    def describe(self) -> list[Metric]:
        """Nothing: which metrics there are depends on what is watched."""
        return []


def metric_of(family: Family) -> Metric:
    names = list(family.samples[0][0])
    make = CounterMetricFamily if family.is_counter else GaugeMetricFamily
    metric = make(family.name, family.help, labels=names)
    for labels, value in family.samples:
        metric.add_metric([labels[name] for name in names], value)
    return metric


def register(
    to: CollectorRegistry = REGISTRY,
    watched: Registry = registry,
    findings: Callable[[], Sequence[Finding]] = tuple,
) -> Collector:
    """Make a collector, and register it; `to.unregister(collector)` ends that."""
    collector = Collector(watched, findings)
    to.register(collector)
    return collector
