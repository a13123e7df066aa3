"""The policies that Cache is compared with, the optimum, and the hit ratios of Cache on public traces.

The traces are not in the repository. THREADPROOF_TRACES names a folder that has them, under the names that
caffeine's simulator and moka-rs/cache-trace give them.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import pytest

from threadproof.bench import caches
from threadproof.bench.caches import POLICIES, installed, of_mapping, optimum, replay, report
from threadproof.bench.traces import read_trace
from threadproof.cli import main
from threadproof.maps import Cache

TRACES = os.environ.get("THREADPROOF_TRACES", "")

ours = of_mapping(lambda size: Cache(max_size=size))


@cache
def most_hits(requests: tuple[int, ...], size: int, held: frozenset[int] = frozenset()) -> int:
    """By trying every victim."""
    if not requests:
        return 0
    first, rest = requests[0], requests[1:]
    if first in held:
        return 1 + most_hits(rest, size, held)
    after = held | {first}
    choices = [after] if len(after) <= size else [after - {victim} for victim in after]
    return max(most_hits(rest, size, each) for each in choices)


def test_the_optimum_has_the_most_hits() -> None:
    for requests in product(range(4), repeat=6):
        assert optimum(requests, 2) == most_hits(requests, 2) / 6


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_keeps_its_bound_and_is_below_the_optimum(name: str, seed: int) -> None:
    random = Random(seed)
    requests = [min(int(random.expovariate(0.05)), 200) for _ in range(3000)]
    for size in (1, 2, 10, 50):
        ratio = replay(POLICIES[name], requests, size)
        assert ratio <= optimum(requests, size)
        assert size == 1 or ratio > 0
    assert replay(POLICIES[name], requests, 500) == 1 - len(set(requests)) / len(requests)


def test_lru_has_no_hit_in_a_loop_and_all_hits_in_a_burst() -> None:
    assert replay(POLICIES["LRU"], list(range(11)) * 20, 10) == 0
    assert replay(POLICIES["LRU"], [i // 3 for i in range(300)], 10) == 2 / 3


def test_every_installed_cache_is_replayed() -> None:
    assert "functools.lru_cache" in installed()
    for make in installed().values():
        assert replay(make, [1, 2, 1, 2], 10) == 0.5


def test_the_command_prints_a_row_for_each_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "loop.trace"
    trace.write_text("\n".join(str(i % 40) for i in range(2000)))
    assert main(["bench", "--cache", str(trace), "--size", "20,100"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows["LRU"] == rows["ARC"] == ["0.00", "98.00"]
    assert rows["threadproof.Cache"][1] == rows["optimum"][1] == "98.00"
    assert float(rows["threadproof.Cache"][0]) > 15
    assert main(["bench", "--cache", str(tmp_path / "no.trace")]) == 2


def test_an_empty_report_has_no_rows() -> None:
    assert report([]).strip() == ""


@pytest.mark.skipif(not TRACES, reason="needs the public traces: THREADPROOF_TRACES=FOLDER")
@pytest.mark.parametrize(
    ("name", "size", "least"),
    [
        ("arc-OLTP.lis.zst", 250, 23.7),
        ("arc-OLTP.lis.zst", 1000, 39.9),
        ("arc-OLTP.lis.zst", 2000, 45.9),
        ("caffeine-lirs-loop.trace.gz", 512, 49),
        ("caffeine-lirs-multi1.trace.gz", 1000, 67.5),
        ("caffeine-lirs-multi2.trace.gz", 1000, 55.5),
        ("caffeine-lirs-multi3.trace.gz", 1000, 50.2),
        ("caffeine-lirs-ps.trace.gz", 1000, 66),
        ("caffeine-lirs-sprite.trace.gz", 600, 80.9),
        ("caffeine-lirs-2_pools.trace.gz", 100, 47),
        ("caffeine-corda-trace_vaultservice.gz", 512, 30.5),
    ],
)
def test_a_public_trace_has_its_hits(name: str, size: int, least: float) -> None:
    requests = read_trace(Path(TRACES) / name)
    assert 100 * caches.replay(ours, requests, size) >= least


@pytest.mark.skipif(not TRACES, reason="needs the public traces: THREADPROOF_TRACES=FOLDER")
def test_the_share_follows_a_workload_that_changes_and_changes_back() -> None:
    corda = read_trace(Path(TRACES) / "caffeine-corda-trace_vaultservice.gz")
    loop = [len(corda) + key for key in read_trace(Path(TRACES) / "caffeine-lirs-loop.trace.gz")]
    assert 100 * caches.replay(ours, corda + 5 * loop + corda, 512) >= 47
