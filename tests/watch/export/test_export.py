"""The exporters: the same metrics for Prometheus, OpenTelemetry, JSON and logs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from threadproof import HashMap, ShardedMap, SyncMap
from threadproof.findings import Place
from threadproof.stats import Registry, Stats, counter, duration, gauge, ratio
from threadproof.sync import AtomicInt, Once, Pool, RWLock
from threadproof.watch import CHECKS
from threadproof.watch.export.families import families
from threadproof.watch.export.logs import log_metrics
from threadproof.watch.export.otel import name_of, observe, unit_of
from threadproof.watch.export.prometheus import register
from threadproof.watch.export.snapshot import Snapshot, take
from threadproof.watch.export.text import as_text
from threadproof.watch.export.variables import as_object


@dataclass(frozen=True, slots=True)
class OvenStats(Stats):
    """A record with every kind of field."""

    loaves: int = field(metadata=gauge("loaves", "loaves inside"))
    hot: bool = field(metadata=gauge("boolean", "whether it is\nhot"))
    baked: int = field(metadata=counter("loaves", "loaves baked"))
    full: float = field(metadata=ratio("the share that is full"))
    longest: float = field(metadata=duration("the longest time"))
    memory: int = field(metadata=gauge("bytes", "memory"))
    trays: tuple[int, ...] = field(default=(1, 2), metadata=gauge("loaves", "loaves on each tray"))


class Oven:
    """A structure of a program's own."""

    def stats(self) -> OvenStats:
        return OvenStats(3, True, 10, 0.5, 1.25, 1024)


class Broken:
    """A structure whose stats fail."""

    def stats(self) -> Stats:
        raise OSError("no connection")


@pytest.fixture
def kept() -> list[Any]:
    return [
        Oven(),
        Oven(),
        HashMap(a=1),
        SyncMap(a=1),
        ShardedMap(a=1),
        RWLock(),
        Pool(list),
        Once(),
        AtomicInt(),
    ]


@pytest.fixture
def watched(kept: list[Any]) -> Registry:
    watched = Registry()
    for each in kept:
        watched.add(each, 'the "big" one\\' if isinstance(each, Oven) else "")
    return watched


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for each in found
        for sample in each.samples
    }


def test_names_have_base_units_and_counters_end_in_total(watched: Registry) -> None:
    found = values(as_text(families(take(watched))))
    labels = frozenset({("name", 'the "big" one\\'), ("kind", "Oven")})
    own = {name: value for (name, which), value in found.items() if which == labels}
    assert own == {
        "threadproof_loaves": 3.0,
        "threadproof_hot": 1.0,
        "threadproof_baked_loaves_total": 10.0,
        "threadproof_full_ratio": 0.5,
        "threadproof_longest_seconds": 1.25,
        "threadproof_memory_bytes": 1024.0,
    }
    assert ("threadproof_process_retired_bytes", frozenset[tuple[str, str]]()) in found


def test_every_name_is_one_that_prometheus_takes(watched: Registry) -> None:
    found = families(take(watched))
    assert len({family.name for family in found}) == len(found)
    for family in found:
        assert re.fullmatch(r"threadproof(_[a-z]+)+", family.name)
        assert family.help
        assert len({tuple(sorted(labels)) for labels, _ in family.samples}) == 1, family.name
        assert len({tuple(sorted(labels.items())) for labels, _ in family.samples}) == len(family.samples)


def test_the_collector_gives_what_the_text_has(watched: Registry) -> None:
    client = CollectorRegistry()
    register(client, watched)
    by_client = values(generate_latest(client).decode())
    ours = values(as_text(families(take(watched))))
    assert by_client.keys() == ours.keys()
    assert all(by_client[each] == ours[each] for each in ours if "process" not in each[0])


def test_stats_that_raise_are_counted_and_the_rest_is_exported(watched: Registry, kept: list[Any]) -> None:
    kept.append(watched.add(Broken(), "broken"))
    found = values(as_text(families(take(watched))))
    assert found["threadproof_scrape_failures", frozenset[tuple[str, str]]()] == 1.0
    assert any(name == "threadproof_size_keys" for name, _ in found)


def test_findings_are_a_metric_and_part_of_the_json(watched: Registry) -> None:
    finding = CHECKS[0].rule.finding(Place("app.py", 1), subject="sessions", structure="sessions")
    snapshot = take(watched, [finding])
    labels = {"check": "leak", "name": "sessions", "severity": "warning"}
    assert values(as_text(families(snapshot)))["threadproof_finding", frozenset(labels.items())] == 1.0
    found = json.loads(json.dumps(as_object(snapshot)))
    assert found["findings"][0]["check"] == "leak"
    assert found["structures"]["HashMap#1"]["stats"]["size"] == 1
    assert found["structures"]['the "big" one\\#2']["stats"]["trays"] == [1, 2]


def measured(reader: InMemoryMetricReader) -> Iterator[tuple[str, str, float, dict[str, Any]]]:
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield metric.name, metric.unit or "", point.value, dict(point.attributes or {})  # type: ignore[union-attr]


def test_opentelemetry_collects_each_metric_of_each_structure(watched: Registry) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    try:
        observe(provider.get_meter("threadproof"), watched)
        found = list(measured(reader))
    finally:
        provider.shutdown()
    attributes = {"name": "HashMap#1", "kind": "HashMap"}
    assert ("threadproof.size.keys", "{key}", 1, attributes) in found
    assert ("threadproof.baked.loaves", "{loave}", 10, {"name": 'the "big" one\\', "kind": "Oven"}) in found
    snapshot = take(watched)
    exported = {(name, each["name"]) for name, _, _, each in found if each}
    assert exported == {
        (name_of(type(row.stats), metric), row.label)
        for row in snapshot.rows
        for metric in row.stats.metrics()
        if not isinstance(getattr(row.stats, metric.name), tuple)
    }
    assert {name for name, _, _, each in found if not each} == {
        "threadproof.process.retired_bytes",
        "threadproof.process.threads",
        "threadproof.process.known_threads",
    }


def test_units_are_those_of_ucum() -> None:
    assert [unit_of(unit) for unit in ("seconds", "bytes", "ratio", "boolean", "keys", "entries")] == [
        *("s", "By", "1", "1", "{key}", "{entry}")
    ]


def test_a_line_of_the_log_for_each_structure(watched: Registry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "threadproof"):
        log_metrics(watched)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(watched.watched()) + 1
    assert lines[0].startswith('the "big" one\\ (Oven): loaves=3 hot=True baked=10 ')
    assert caplog.records[0].metrics["trays"] == (1, 2)  # type: ignore[attr-defined]


def test_exporting_keeps_nothing_alive(kept: list[Any], watched: Registry) -> None:
    snapshot: Snapshot = take(watched)
    kept.clear()
    assert watched.watched(Oven) == []
    assert snapshot.rows[0].label == 'the "big" one\\'
