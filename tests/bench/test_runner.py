"""Runs of the harness at tiny sizes: who takes part, what is counted, and that wrong answers are seen.

Nothing here looks at how long anything took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from threadproof.bench.results import Row
from threadproof.bench.rivals import BUILT_IN, DICT, LOCKED_DICT, Rival, load, of_contract
from threadproof.bench.stage import Effort, Stage
from threadproof.bench.workloads import WORKLOADS, Hand, Scene
from threadproof.maps import HashMap, LockedMap

ONCE = Effort(seconds=0, least=1, most=1)
OURS = (of_contract("HashMap", HashMap), of_contract("LockedMap", LockedMap))


def measured(scene: Scene, name: str, rivals: Sequence[Rival]) -> dict[str, Row]:
    stage = Stage(scene, rivals, lambda rival, workload: None)
    rows = stage.measure(WORKLOADS[name], ONCE, {})
    stage.crew.leave()
    return {row.rival: row for row in rows}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_runs_and_finds_right_answers(name: str, threads: int) -> None:
    scene = Scene(n=100, operations=600, threads=threads, heap=True)
    for row in measured(scene, name, (*BUILT_IN, *OURS)).values():
        if row.problem:
            assert (row.rival, threads) == ("dict", 2), row.problem
            assert (
                row.problem in ("add: updates are lost", "count_many: updates are lost")
                or "raises" in row.problem
            )
        else:
            assert row.samples
            assert row.operations > 0
            assert (row.gain is None) == (threads == 1)


@pytest.mark.parametrize("scene", [
    Scene("str", n=50, operations=200, identical=True, threads=2),
    Scene("tuple", n=50, operations=200, heap=True, identical=True),
    Scene("float", n=50, operations=200, distribution="apart", threads=2),
    Scene("bytes", n=50, operations=200, distribution="zipfian"),
    Scene("big int", n=50, operations=200, distribution="latest", shuffled=False),
], ids=lambda scene: scene.label)  # fmt: skip
def test_every_kind_of_scene_runs(scene: Scene) -> None:
    for name in ("95/5", "50/50 new", "grow"):
        assert not [row.problem for row in measured(scene, name, OURS).values() if row.problem]


def test_a_thread_has_exactly_the_share_of_writes_that_the_workload_names() -> None:
    scene = Scene(operations=1_000)
    hand = Hand(scene, list(range(scene.n)), 0, 1)
    lists = WORKLOADS["95/5"].lists(hand)
    assert len(lists) == 50
    assert WORKLOADS["95/5"].count(scene, lists) == 1_000


def test_new_keys_come_and_old_ones_go_in_a_ring() -> None:
    scene = Scene(operations=1_000, n=10)
    held = {new for _, new, _ in WORKLOADS["write new"].lists(Hand(scene, list(range(10)), 0, 1))[-64:]}
    for _, new, old in WORKLOADS["write new"].lists(Hand(scene, list(range(10)), 0, 1)):
        held.add(new)
        held.remove(old)
    assert len(held) == 64


# --- a rival that does wrong ---


class Forgets(dict[Any, Any]):
    """Loses what is stored at every key whose hash is 7 modulo 13."""

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


def rival(make: type[Any]) -> Rival:
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
def test_a_wrong_answer_voids_the_row_and_only_this_one(kind: type[Any], workload: str) -> None:
    rows = measured(Scene(n=100, operations=1_000, heap=True), workload, (rival(kind), LOCKED_DICT))
    assert rows[kind.__name__].problem
    assert not rows[kind.__name__].samples
    assert not rows["dict + Lock"].problem


def test_who_cannot_do_an_operation_takes_no_part_in_it() -> None:
    rows = measured(Scene(n=10, operations=10), "counters", (replace(DICT, idioms={"read": "m[k]"}), *OURS))
    assert rows["dict"].problem == "has no add"


def test_any_class_can_be_a_rival() -> None:
    found = load("threadproof.maps:HashMap")
    assert not measured(Scene(n=10, operations=100), "count_many", (found,))[found.name].problem
    plain = load("collections:OrderedDict")
    assert not measured(Scene(n=10, operations=100), "50/50", (plain,))[plain.name].problem
