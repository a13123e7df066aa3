"""Stats: what a structure reports about its state. Exporters, health checks and benchmarks read nothing else.

    record    Stats, the record that `.stats()` returns; kind, unit and help of each field, as data
    registry  which structures of a process are watched, and under which names
    process   ProcessStats: what concerns the whole process, not one structure

Reading stats costs the structure's operations nothing: they count what they count anyway.
"""

from threadproof.stats.process import ProcessStats, process
from threadproof.stats.record import Kind, Metric, Stats, counter, duration, gauge, ratio
from threadproof.stats.registry import Registry, Watched, instances, registry, watch

__all__ = [
    "Kind",
    "Metric",
    "ProcessStats",
    "Registry",
    "Stats",
    "Watched",
    "counter",
    "duration",
    "gauge",
    "instances",
    "process",
    "ratio",
    "registry",
    "watch",
]
