"""The record that structures return from `.stats()`, and the meaning of its fields."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, field
from importlib import import_module

import pytest

import threadproof
from threadproof.stats import Kind, Metric, Stats, counter, duration, gauge, ratio


@dataclass(frozen=True, slots=True)
class QueueStats(Stats):
    """A structure's own record."""

    size: int = field(metadata=gauge("items", "items in the queue"))
    full: bool = field(metadata=gauge("boolean", "whether a put would wait"))
    puts: int = field(metadata=counter("items", "items put since the queue was made"))
    hits: float = field(metadata=ratio("gets that found an item at once, as a share of all"))
    longest: float = field(metadata=duration("the longest wait of a get"))


STATS = QueueStats(3, False, 10, 0.5, 1.25)


def test_a_record_is_frozen_and_has_its_values_by_name() -> None:
    assert STATS.as_dict() == {"size": 3, "full": False, "puts": 10, "hits": 0.5, "longest": 1.25}
    with pytest.raises(FrozenInstanceError):
        STATS.size = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the claim


def test_records_of_equal_values_are_equal() -> None:
    assert STATS == QueueStats(3, False, 10, 0.5, 1.25) != QueueStats(4, False, 10, 0.5, 1.25)


def test_the_metrics_are_known_without_a_record() -> None:
    assert QueueStats.metrics()[2] == Metric(
        "puts", Kind.COUNTER, "items", "items put since the queue was made"
    )
    assert [(metric.name, metric.unit) for metric in QueueStats.metrics()] == [
        ("size", "items"),
        ("full", "boolean"),
        ("puts", "items"),
        ("hits", "ratio"),
        ("longest", "seconds"),
    ]


def test_a_field_without_metadata_is_refused_with_the_way_out() -> None:
    @dataclass(frozen=True, slots=True)
    class Bare(Stats):
        size: int

    with pytest.raises(TypeError, match=r"Bare\.size has no kind, unit and help; write field\(metadata="):
        Bare.metrics()


# --- every record of this package ---


def records() -> Iterator[type[Stats]]:
    for module in pkgutil.walk_packages(threadproof.__path__, "threadproof."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    todo: list[type[Stats]] = [Stats]
    while todo:
        found = todo.pop().__subclasses__()
        todo += found
        yield from (each for each in found if is_public(each))


def is_public(record: type[Stats]) -> bool:
    """Slots make a second class, and the first one may still be there."""
    ours = record.__module__.startswith("threadproof.")
    return ours and getattr(sys.modules[record.__module__], record.__name__, None) is record


RECORDS = sorted(set(records()), key=lambda record: record.__name__)


def test_there_is_a_record_for_each_kind_of_structure() -> None:
    assert {record.__name__ for record in RECORDS} >= {
        *("AtomicStats", "HashMapStats", "LockedMapStats", "OnceStats", "PoolStats", "ProcessStats"),
        *("RWLockStats", "ShardedMapStats", "SnapshotMapStats", "SyncMapStats"),
    }


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_has_a_kind_a_unit_and_one_line_of_help(record: type[Stats]) -> None:
    assert record.metrics()
    for metric in record.metrics():
        assert metric.unit, metric.name
        assert metric.help, metric.name
        assert "\n" not in metric.help
        assert not metric.help.endswith("."), metric.name
        assert (metric.kind is Kind.DURATION) <= (metric.unit == "seconds"), metric.name
        assert (metric.unit == "bytes") >= metric.name.endswith("bytes"), metric.name
