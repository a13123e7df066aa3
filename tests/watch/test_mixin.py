"""The mixin: its files are current, its names are exported, its alerts fire, and Prometheus scrapes us."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from tests.watch.kit import tool
from threadproof import HashMap
from threadproof.stats import Registry
from threadproof.watch import CHECKS, Check, serve
from threadproof.watch.export.families import columns
from threadproof.watch.export.records import records
from threadproof.watch.mixin import recorded

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring"
# The metrics of caches and remote maps, which have their records elsewhere.
ELSEWHERE = {
    *("hits_reads_total", "misses_reads_total", "evictions_entries_total", "load_failures_loads_total"),
    *("loads_total", "staleness_seconds", "listener_failures_calls_total", "callback_errors_calls_total"),
}


def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_current() -> None:
    """If this fails: `python monitoring/make.py`."""
    assert {name: (FOLDER / name).read_text(encoding="utf-8") for name in make().files()} == make().files()


# --- names ---


def exported() -> set[str]:
    names = {
        f"{column.name}_total" if column.is_counter else column.name
        for record in records()
        for column in columns(record)
    }
    return (
        names
        | {f"threadproof_{name}" for name in ELSEWHERE}
        | {"threadproof_finding", "threadproof_scrape_failures"}
    )


def levels() -> set[str]:
    return {recorded(check) for check in CHECKS if check.promql}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"threadproof[:_][a-z_:]+", expression))


def expressions(tree: Any) -> Iterator[str]:
    """All values of `expr` and `query` in the dashboard."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from expressions(value)


def test_the_dashboard_and_the_rules_use_only_names_that_are_exported() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    used = {name for expression in expressions(dashboard) for name in names_in(expression)}
    assert len(used) > 50
    assert used <= exported() | levels()
    for check in CHECKS:
        assert names_in(check.promql) <= exported(), check.name


def test_panels_have_numbers_and_do_not_overlap() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


# --- promtool ---


def needs(name: str) -> str:
    path = tool(name)
    if path is None:
        pytest.skip(f"there is no {name} here, and Debian's package `prometheus` cannot be downloaded")
    return path


def by(step: str, first: str = "0") -> str:
    """Values of a series, for two hours in steps of a minute."""
    return f"{first}{step}x120"


Series = dict[str, str]
# For each check, the series for which its warning fires, and others for which it does not.
CASES: dict[str, tuple[Series, Series]] = {
    "leak": ({"size_keys": by("+100", "2000")}, {"size_keys": by("+1", "2000")}),
    "stale-keys": (
        {
            "tombstones_cells": by("+0", "400"),
            "read_size_cells": by("+0", "900"),
            "dirty_size_cells": by("+0", "100"),
        },
        {
            "tombstones_cells": by("+0", "40"),
            "read_size_cells": by("+0", "90"),
            "dirty_size_cells": by("+0", "10"),
        },
    ),
    "read-misses": (
        {"misses_lookups_total": by("+1000"), "read_hits_reads_total": by("+1000")},
        {"misses_lookups_total": by("+100"), "read_hits_reads_total": by("+10000")},
    ),
    "dirty-table": (
        {"dirty_size_cells": by("+0", "600"), "read_size_cells": by("+0", "600")},
        {"dirty_size_cells": by("+0", "100"), "read_size_cells": by("+0", "600")},
    ),
    "promotion-pauses": (
        {"last_promotion_seconds": by("+0", "0.2"), "promotions_total": by("+5")},
        {"last_promotion_seconds": by("+0", "0.2"), "promotions_total": by("+0", "5")},
    ),
    "resizes": (
        {"resizes_total": by("+10"), "buckets": by("+0", "64")},
        {"resizes_total": by("+0", "3"), "buckets": by("+0", "64")},
    ),
    "waiting": (
        {"waiting_threads": by("+0", "2"), "process_threads": by("+0", "8")},
        {"waiting_threads": by("+0", "0"), "process_threads": by("+0", "8")},
    ),
    "contended": ({"lock_waits_total": by("+120000")}, {"lock_waits_total": by("+60")}),
    "long-computation": (
        {"oldest_computation_seconds": by("+0", "12")},
        {"oldest_computation_seconds": by("+0", "1")},
    ),
    "stripes": (
        {"imbalance_ratio": by("+0", "5"), "size_keys": by("+0", "9000")},
        {"imbalance_ratio": by("+0", "5"), "size_keys": by("+0", "90")},
    ),
    "bad-hashes": ({"longest_chain_buckets": by("+0", "9")}, {"longest_chain_buckets": by("+0", "2")}),
    "retired-memory": (
        {"process_retired_bytes": by("+0", "100000000")},
        {"process_retired_bytes": "100000000 0 " * 60},
    ),
    "hit-ratio": (
        {"hits_reads_total": "0+900x60 54000+0x60", "misses_reads_total": "0+100x60 6000+1000x60"},
        {"hits_reads_total": by("+500"), "misses_reads_total": by("+500")},
    ),
    "thrashing": (
        {
            "evictions_entries_total": by("+900"),
            "hits_reads_total": by("+10"),
            "misses_reads_total": by("+990"),
        },
        {
            "evictions_entries_total": by("+9"),
            "hits_reads_total": by("+10"),
            "misses_reads_total": by("+990"),
        },
    ),
    "load-failures": (
        {"load_failures_loads_total": by("+20"), "loads_total": by("+80")},
        {"load_failures_loads_total": by("+1"), "loads_total": by("+80")},
    ),
    "staleness": ({"staleness_seconds": by("+0", "8")}, {"staleness_seconds": by("+0", "1")}),
    "callbacks": (
        {"listener_failures_calls_total": by("+1")},
        {"listener_failures_calls_total": by("+0", "7")},
    ),
    "hot-key": ({'finding{check="hot-key", severity="warning"}': by("+0", "1")}, {}),
}


def labelled(name: str, process: str) -> str:
    """A series of one structure of one process."""
    base, _, labels = name.rstrip("}").partition("{")
    own = "" if base.startswith("process") else 'name="m", kind="Map", '
    return f'threadproof_{base}{{{own}{labels}{", " * bool(labels)}job="app", instance="{process}"}}'


def expected(check: str, process: str, firing: int) -> dict[str, Any]:
    alert = f"Threadproof{''.join(word.capitalize() for word in check.split('-'))}"
    which = f'alertname="{alert}", alertstate="firing", instance="{process}"'
    return {
        "expr": f"count(ALERTS{{{which}}}) or vector(0)",
        "eval_time": "80m" if check == "hit-ratio" else "90m",  # a fall is over when it has lasted
        "exp_samples": [{"labels": "{}", "value": firing}],
    }


def test_the_alerts_fire_for_the_ill_and_not_for_the_well(tmp_path: Path) -> None:
    """One Prometheus sees all cases at once, each as a process of its own."""
    promtool = needs("promtool")
    assert CASES.keys() == {check.name for check in CHECKS}
    cases = [
        (check, f"{check} {state}", series, firing)
        for check, case in CASES.items()
        for series, state, firing in zip(case, ("ill", "well"), (1, 0), strict=True)
    ]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": labelled(name, process), "values": values.strip()}
            for _, process, series, _ in cases
            for name, values in series.items()
        ],
        "promql_expr_test": [expected(check, process, firing) for check, process, _, firing in cases],
    }
    path = tmp_path / "tests.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(FOLDER / "rules.yaml")], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_an_alert_links_to_a_runbook_that_is_there(check: Check) -> None:
    assert (ROOT / check.rule.url).exists()
    assert f'runbook_url: "{check.rule.url}"' in (FOLDER / "rules.yaml").read_text()


# --- a real Prometheus ---


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def ask(port: int, query: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer as well, and holds a file
        return []  # it is starting
    except (urllib.error.URLError, ConnectionError):
        return []


def eventually(find: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    pause, end = threading.Event(), time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < end, "Prometheus has no such series"
        pause.wait(0.1)
    return found


CONFIG = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: app
    authorization: {{credentials: right}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def test_a_real_prometheus_scrapes_the_server_and_runs_the_rules(tmp_path: Path) -> None:
    prometheus = needs("prometheus")
    watched = Registry()
    m = watched.add(HashMap((str(n), n) for n in range(17)), "sessions")
    with serve(watched=watched, token="right") as server:
        config, port = tmp_path / "prometheus.yml", free_port()
        config.write_text(CONFIG.format(rules=FOLDER / "rules.yaml", port=server.port))
        address = f"--web.listen-address=127.0.0.1:{port}"
        command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            (size,) = eventually(lambda: ask(port, 'threadproof_size_keys{name="sessions"}'))
            assert (size["value"][1], size["metric"]["kind"]) == ("17", "HashMap")
            eventually(lambda: ask(port, 'threadproof:bad_hashes:level{name="sessions"}'))
            m["new"] = 1
            eventually(lambda: ask(port, 'threadproof_size_keys{name="sessions"} == 18'))
        finally:
            process.kill()
            process.wait()
