"""A monitoring mixin: rules and alerts for Prometheus, and a dashboard for Grafana, made from our own data.

The level of each check is a recording rule, and its limits are alerts; the dashboard has a panel for each
level, and for each metric of the records that it is given. monitoring/make.py writes the files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from threadproof.stats import ProcessStats, Stats
from threadproof.watch.checks import CHECKS, Check
from threadproof.watch.export.families import Column, columns

FOR = "5m"  # for which a level must stay above its limit: as long as the rates are averaged
UNITS = {"bytes": "bytes", "seconds": "s", "ratio": "none", "boolean": "bool"}  # Grafana's names
WIDTH, HEIGHT = 8, 7  # of a panel; a row of Grafana is 24 wide


# --- Prometheus ---


def rules(checks: Sequence[Check] = CHECKS) -> str:
    """The file of recording rules and alerts, in YAML."""
    lines = ["groups:", "  - name: threadproof-levels", "    rules:"]
    for check in checks:
        lines += recording(check) if check.promql else []
    lines += ["  - name: threadproof-alerts", "    rules:"]
    for check in checks:
        lines += [line for severity, limit in limits_of(check) for line in alert(check, severity, limit)]
    return "".join(f"{line}\n" for line in lines)


def recorded(check: Check) -> str:
    """The name of the check's level."""
    return f"threadproof:{check.name.replace('-', '_')}:level"


def recording(check: Check) -> list[str]:
    return [f"      - record: {recorded(check)}", f"        expr: {json.dumps(check.promql)}"]


def limits_of(check: Check) -> Iterator[tuple[str, float]]:
    yield "warning", check.limits.warn
    if math.isfinite(check.limits.critical):
        yield "critical", check.limits.critical


def alert(check: Check, severity: str, limit: float) -> list[str]:
    """An alert; where Prometheus cannot compute the level, that of the monitor's finding."""
    words = {"warning": "warning", "critical": "error"}
    found = f'threadproof_finding{{check="{check.name}", severity="{words[severity]}"}}'
    expression = f"{recorded(check)} >= {limit:.10g}" if check.promql else found
    name = "".join(word.capitalize() for word in check.name.split("-"))
    return [
        f"      - alert: Threadproof{name}{'Critical' * (severity == 'critical')}",
        f"        expr: {json.dumps(expression)}",
        f"        for: {FOR}",
        "        labels:",
        f"          severity: {severity}",
        "        annotations:",
        f"          summary: {json.dumps(check.message.format(structure='{{ $labels.name }}'))}",
        f"          description: {json.dumps('{{ $value }} ' + check.unit + '; ' + check.fix)}",
        f"          runbook_url: {json.dumps(check.rule.url)}",
    ]


# --- Grafana ---


def dashboard(records: Iterable[type[Stats]], checks: Sequence[Check] = CHECKS) -> dict[str, Any]:
    """The dashboard, as Grafana imports it: findings, levels, and a row of panels for each record."""
    panels = [findings_panel(), *(level_panel(check) for check in checks if check.promql)]
    rows = [("Health", panels)]
    shown = set[str]()
    for record in records:
        new = [
            column
            for column in columns(record)
            if column.name not in shown and not column.name.endswith("sizes")
        ]
        shown |= {column.name for column in new}
        if new:
            rows.append((title_of(record), [metric_panel(column) for column in new]))
    return {
        "title": "threadproof",
        "uid": "threadproof",
        "tags": ["threadproof"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source_variable(), query_variable("job"), query_variable("instance")]},
        "panels": placed(rows),
    }


def title_of(record: type[Stats]) -> str:
    return "Process" if record is ProcessStats else record.__name__.removesuffix("Stats")


def placed(rows: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Number the panels and lay them out, three beside each other."""
    panels, y = list[dict[str, Any]](), 0
    for title, members in rows:
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        panels.append({"type": "row", "title": title, "gridPos": place, "panels": []})
        for index, panel in enumerate(members):
            x, down = index % 3 * WIDTH, index // 3 * HEIGHT
            panels.append({**panel, "gridPos": {"x": x, "y": y + 1 + down, "w": WIDTH, "h": HEIGHT}})
        y += 1 + -(-len(members) // 3) * HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def panel(title: str, expression: str, legend: str, unit: str, kind: str = "timeseries") -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "targets": [{"refId": "A", "expr": expression, "legendFormat": legend}],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }


SELECTED = '{job=~"$job", instance=~"$instance"}'


def findings_panel() -> dict[str, Any]:
    return panel("Findings", f"threadproof_finding{SELECTED}", "{{check}} {{name}}", "none", "table")


def level_panel(check: Check) -> dict[str, Any]:
    found = panel(f"{check.name}: {check.unit}", f"{recorded(check)}{SELECTED}", "{{name}}", "none")
    steps = [
        {"color": "green", "value": None},
        *(
            {"color": colour, "value": limit}
            for colour, (_, limit) in zip(("orange", "red"), limits_of(check), strict=False)
        ),
    ]
    found["fieldConfig"]["defaults"] |= {
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }
    return found | {"links": [{"title": "runbook", "url": check.rule.url}]}


def metric_panel(column: Column) -> dict[str, Any]:
    if column.is_counter:
        expression = f"rate({column.name}_total{SELECTED}[$__rate_interval])"
        return panel(f"{column.help}, per second", expression, "{{name}}", "ops")
    unit = UNITS.get(column.unit, "short")
    return panel(column.help, f"{column.name}{SELECTED}", "{{name}}", unit)


def source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def query_variable(label: str) -> dict[str, Any]:
    query = f"label_values(threadproof_process_threads, {label})"
    source = {"type": "prometheus", "uid": "$datasource"}
    return {
        "name": label,
        "type": "query",
        "datasource": source,
        "query": query,
        "multi": True,
        "includeAll": True,
        "refresh": 2,
    }
