"""Stats: the report of a structure about its state. Exporters, health checks and benchmarks read only these.

    record    Stats, the record that `.stats()` returns; kind, unit and help of each field, as data
    registry  the watched structures of a process, and their names
    process   ProcessStats: the metrics of the whole process, not of one structure

Reading stats adds no cost to the structure's operations: they count in any case.
"""

from threadproof.stats.process import ProcessStats, process
from threadproof.stats.record import Kind, Metric, Stats, Value, counter, duration, gauge, ratio
from threadproof.stats.registry import HasStats, Registry, Site, Watched, include, instances, registry, watch

__all__ = [
    "HasStats",
    "Kind",
    "Metric",
    "ProcessStats",
    "Registry",
    "Site",
    "Stats",
    "Value",
    "Watched",
    "counter",
    "duration",
    "gauge",
    "include",
    "instances",
    "process",
    "ratio",
    "registry",
    "watch",
]
