"""Runs of the harness at tiny sizes: contenders, counts, and wrong answers. No test asserts a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from threadproof.bench.contenders import BUILT_IN, DICT, LOCKED_DICT, Contender, load, of_contract
from threadproof.bench.results import Row
from threadproof.bench.runner import Effort, Runner
from threadproof.bench.scenario import Scenario, Worker
from threadproof.bench.workloads import WORKLOADS
from threadproof.maps import HashMap, LockedMap

ONCE = Effort(seconds=0, least=1, most=1)
OURS = (of_contract("HashMap", HashMap), of_contract("LockedMap", LockedMap))


def measured(scenario: Scenario, name: str, contenders: Sequence[Contender]) -> dict[str, Row]:
    runner = Runner(scenario, contenders, lambda contender, workload: None)
    rows = runner.measure(WORKLOADS[name], ONCE, {})
    runner.workers.stop()
    return {row.contender: row for row in rows}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_runs_with_right_answers(name: str, threads: int) -> None:
    scenario = Scenario(n=100, operations=600, threads=threads, heap=True)
    for row in measured(scenario, name, (*BUILT_IN, *OURS)).values():
        if row.problem:
            assert (row.contender, threads) == ("dict", 2), row.problem
            assert (
                row.problem in ("add: updates are lost", "count_many: updates are lost")
                or "raises" in row.problem
            )
        else:
            assert row.samples
            assert row.operations > 0
            assert (row.gain is None) == (threads == 1)


@pytest.mark.parametrize("scenario", [
    Scenario("str", n=50, operations=200, identical=True, threads=2),
    Scenario("tuple", n=50, operations=200, heap=True, identical=True),
    Scenario("float", n=50, operations=200, distribution="apart", threads=2),
    Scenario("bytes", n=50, operations=200, distribution="zipfian"),
    Scenario("big int", n=50, operations=200, distribution="latest", shuffled=False),
], ids=lambda scenario: scenario.label)  # fmt: skip
def test_every_kind_of_scenario_runs(scenario: Scenario) -> None:
    for name in ("95/5", "50/50 new", "grow"):
        assert not [row.problem for row in measured(scenario, name, OURS).values() if row.problem]


def test_a_thread_has_exactly_the_share_of_writes_that_the_workload_names() -> None:
    scenario = Scenario(operations=1_000)
    worker = Worker(scenario, list(range(scenario.n)), 0, 1)
    lists = WORKLOADS["95/5"].lists(worker)
    assert len(lists) == 50
    assert WORKLOADS["95/5"].count(scenario, lists) == 1_000


def test_new_keys_come_and_old_ones_go_in_a_ring() -> None:
    scenario = Scenario(operations=1_000, n=10)
    held = {new for _, new, _ in WORKLOADS["write new"].lists(Worker(scenario, list(range(10)), 0, 1))[-64:]}
    for _, new, old in WORKLOADS["write new"].lists(Worker(scenario, list(range(10)), 0, 1)):
        held.add(new)
        held.remove(old)
    assert len(held) == 64


# --- contenders with wrong answers ---


class Forgets(dict[Any, Any]):
    """Loses the values of keys with a hash of 7 modulo 13."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if hash(key) % 13 != 7:
            super().__setitem__(key, value)


class Confuses(dict[Any, Any]):
    """Now and then gives another key's value."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return super().__getitem__(next(iter(self)) if self.reads % 50 == 0 else key)


class Miscounts(dict[Any, Any]):
    """Adds nothing, now and then."""

    writes = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        self.writes += 1
        if self.writes % 400 != 399:
            super().__setitem__(key, value)


def contender(make: type[Any]) -> Contender:
    return replace(DICT, name=make.__name__, make=make, make_counts=make, unsafe={})


@pytest.mark.parametrize(
    ("kind", "workload"),
    [
        (Forgets, "read"),
        (Forgets, "grow"),
        (Confuses, "95/5"),
        (Miscounts, "counters"),
        (Forgets, "write new"),
    ],
)
def test_a_wrong_answer_makes_its_row_invalid_and_no_other(kind: type[Any], workload: str) -> None:
    rows = measured(Scenario(n=100, operations=1_000, heap=True), workload, (contender(kind), LOCKED_DICT))
    assert rows[kind.__name__].problem
    assert not rows[kind.__name__].samples
    assert not rows["dict + Lock"].problem


def test_a_contender_without_an_idiom_is_excluded() -> None:
    rows = measured(
        Scenario(n=10, operations=10), "counters", (replace(DICT, idioms={"read": "m[k]"}), *OURS)
    )
    assert rows["dict"].problem == "has no add"


def test_any_class_can_be_a_contender() -> None:
    found = load("threadproof.maps:HashMap")
    assert not measured(Scenario(n=10, operations=100), "count_many", (found,))[found.name].problem
    plain = load("collections:OrderedDict")
    assert not measured(Scenario(n=10, operations=100), "50/50", (plain,))[plain.name].problem
