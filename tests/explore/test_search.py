"""The strategies on programs that are lists of operations: nothing runs but the strategy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import comb

import pytest

from threadproof import _core
from threadproof.explore.dpor import Dpor
from threadproof.explore.relevant import NONE, Relevant
from threadproof.explore.schedule import NOBODY, Log, Plan, Started, Step, members
from threadproof.explore.search import STRATEGIES, Auto, Dfs

ACCESS = _core.explore.KINDS.index("access")

Operation = tuple[int, bool]  # variable, whether it is written
Program = Sequence[Sequence[Operation]]  # for each thread


def execute(program: Program, plan: Plan) -> Log | None:
    """The log of a run that never blocks; None if all threads are asleep."""
    position = [0] * len(program)
    steps: list[Step] = []
    running, asleep = NOBODY, 0
    while enabled := sum(1 << t for t, ops in enumerate(program) if position[t] < len(ops)):
        number = len(steps)
        if number + 1 == len(plan.prefix):
            asleep = plan.asleep
        awake = members(enabled & ~asleep)
        if number < len(plan.prefix):
            chosen = plan.prefix[number]
        elif not awake:
            return Log(lambda: steps, lambda: [Started(0, 0)] * len(program))
        else:
            chosen = running if running in awake else awake[0]
        variable, write = program[chosen][position[chosen]]
        steps.append(
            Step(chosen, ACCESS, write, False, True, running, variable, 0, 0, enabled, asleep & enabled)
        )
        position[chosen] += 1
        for thread in members(asleep):
            pending = program[thread][position[thread]]
            if thread == chosen or (pending[0] == variable and (write or pending[1])):
                asleep &= ~(1 << thread)
        running = chosen
    return Log(lambda: steps, lambda: [Started(0, 0)] * len(program))


def settled() -> Relevant:
    """These programs have no instructions, so there is nothing to learn about them."""
    relevant = Relevant()
    relevant.sites = NONE
    return relevant


def complete(log: Log, program: Program) -> bool:
    return len(log.steps) == sum(map(len, program))


def trace_of(log: Log) -> frozenset[tuple[tuple[int, int], tuple[int, int]]]:
    """The order of each pair of dependent steps: the same for schedules that are equivalent."""
    counts: dict[int, int] = {}
    named = []
    for step in log.steps:
        counts[step.thread] = counts.get(step.thread, 0) + 1
        named.append(((step.thread, counts[step.thread]), step))
    return frozenset(
        (one, other)
        for (one, first), (other, second) in itertools.combinations(named, 2)
        if first.variable == second.variable and (first.write or second.write)
    )


R, W = False, True
PROGRAMS: dict[str, Program] = {
    "independent": [[(1, W)], [(2, W)], [(3, W)]],
    "two writers": [[(1, W)], [(1, W)]],
    "three writers": [[(1, W)], [(1, W)], [(1, W)]],
    "readers of one writer": [[(1, W)], [(1, R)], [(1, R)]],
    "updates": [[(1, R), (1, W)], [(1, R), (1, W)]],
    "two variables": [[(1, W), (2, R)], [(2, W), (1, R)]],
    "a chain": [[(1, W), (2, W)], [(2, R), (3, W)], [(3, R), (1, R)]],
    "three updates": [[(1, R), (1, W)], [(1, R), (1, W)], [(1, R), (1, W)]],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_dfs_without_a_bound_runs_every_schedule_once(name: str) -> None:
    program = PROGRAMS[name]
    search, seen = Dfs(99, settled()), set()
    while (plan := search.plan()) is not None:
        log = execute(program, plan)
        assert log is not None
        seen.add(log.sequence)
        search.learn(log)
    sizes = list(map(len, program))
    expected = 1
    for number, size in enumerate(sizes):
        expected *= comb(sum(sizes[: number + 1]), size)
    assert len(seen) == expected
    assert search.exhausted == "preemptions <= 99"


@pytest.mark.parametrize("bound", [0, 1, 2])
def test_dfs_keeps_to_its_bound(bound: int) -> None:
    search, seen = Dfs(bound, settled()), set()
    while (plan := search.plan()) is not None:
        log = execute(PROGRAMS["three updates"], plan)
        assert log is not None
        assert log.preemptions <= bound
        assert log.sequence not in seen
        seen.add(log.sequence)
        search.learn(log)
    assert seen


@pytest.mark.parametrize("name", PROGRAMS)
def test_dpor_runs_every_behaviour_and_none_twice(name: str) -> None:
    program = PROGRAMS[name]
    everything, all_schedules = set(), Dfs(99, settled())
    while (plan := all_schedules.plan()) is not None:
        log = execute(program, plan)
        assert log is not None
        everything.add(trace_of(log))
        all_schedules.learn(log)
    search, found = Dpor(), []
    while (plan := search.plan()) is not None:
        log = execute(program, plan)
        assert log is not None
        if complete(log, program):
            found.append(trace_of(log))
        search.learn(log)
    assert set(found) == everything
    assert len(found) == len(everything)
    assert search.exhausted == "all"


def test_auto_ends_when_all_behaviours_are_explored() -> None:
    search = Auto(relevant=settled())
    runs = 0
    while (plan := search.plan()) is not None:
        runs += 1
        log = execute(PROGRAMS["updates"], plan)
        assert log is not None
        search.learn(log)
    assert search.exhausted == "all"
    assert runs <= 20


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_with_the_same_seed_makes_the_same_plans(name: str) -> None:
    def plans() -> list[Plan | None]:
        search = STRATEGIES[name](7, 2, 100, settled())
        made: list[Plan | None] = []
        for _ in range(10):
            made.append(search.plan())
            if made[-1] is None:
                break
            log = execute(PROGRAMS["two variables"], made[-1])
            assert log is not None
            search.learn(log)
        return made

    assert plans() == plans()
