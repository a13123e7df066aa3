"""The comparison of caches, at tiny sizes, and its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pages import caches
from tests.bench.test_reports import MACHINE
from threadproof.bench.contenders import DICT_IDIOMS, Contender
from threadproof.bench.passes import Passes
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.runner import Effort, Runner
from threadproof.bench.scenario import Scenario

ONE = Scenario("int", heap=True)


@pytest.mark.slow
def test_every_contender_runs_with_right_answers() -> None:
    passes = Passes()
    for step in caches.steps(trial=True)[:2]:
        passes.measure(step.job)
    rows = passes.all()
    assert not [row for row in rows if row.problem and not row.problem.startswith("has no")]
    ours = {row.workload for row in rows if row.contender == caches.OURS and row.samples}
    assert ours == {*caches.COMPARED, caches.READS}
    functions = {row.contender for row in rows if row.workload == caches.CALLS and row.samples}
    assert functions == {caches.FUNCTION, caches.LRU_CACHE}


def test_a_cache_above_its_bound_is_a_wrong_answer() -> None:
    unbounded = Contender("dict", dict, DICT_IDIOMS | {"insert": "m[k] = VALUE"})
    runner = Runner(replace(ONE, n=10, operations=100), [unbounded], lambda contender, workload: None)
    (row,) = runner.measure(caches.EVICT, Effort(seconds=0, least=1, most=1), {})
    runner.workers.stop()
    assert row.problem == "WRONG ANSWER: 110 keys instead of at most 10"


def row(workload: str, contender: str, nanoseconds: int, scenario: Scenario = ONE) -> Row:
    return Row(workload, contender, scenario, 1, [nanoseconds])


def test_the_cells_in_which_another_cache_is_ahead_are_named() -> None:
    rows = [
        row("m[k]", caches.TABLE, 10),
        row("m[k]", caches.OURS, 12),
        row("hits", caches.OURS, 15),
        row("hits", "other", 30),
        row("50/50", caches.OURS, 20),
        row("50/50", "other", 10),
        row("50/50", "broken", 0),
        replace(row("50/50", "broken", 0), problem="WRONG ANSWER: 1 key instead of 2"),
        row(caches.CALLS, caches.FUNCTION, 40),
        row(caches.CALLS, caches.LRU_CACHE, 50),
        replace(row("hits", caches.FUNCTION, 1), problem="has no get"),
    ]
    memory = [Measurement("bytes per entry", caches.OURS, 100_000, value=88.6)]
    parts = caches.sections(Result(MACHINE | {"load": [2.5]}, rows, memory))
    assert "- 50/50, 1,000 int keys, 1 thread: other 10 ns, Cache 20 ns" in parts["speed"]
    assert parts["speed"].count("ns, Cache ") == 1
    assert (
        "| 1,000 int keys, 1 thread | 1.50                 | 1.20                  | 0.80 " in parts["speed"]
    )
    assert "- broken: WRONG ANSWER: 1 key instead of 2 (50/50)" in parts["speed"]
    assert "has no" not in parts["speed"]
    assert "| Cache | 89      |" in parts["memory"]


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cachebox", None)
    found, missing = caches.peers(10)
    assert "cachebox" in missing
    assert not [each for each in found if each.package == "cachebox"]
