"""The structures keep their promises in every schedule of small programs."""

from __future__ import annotations

import pytest

from tests.explore.structures import STRUCTURES
from tests.kit.hammer import PATIENCE
from threadproof.explore import explore

MOST = 3_000  # schedules: several times what the largest program has
# Thousands of schedules are left to the other strategy; `benchmarks/explore.py --exhaust` counts them.
LARGE = {"dfs": ("readers and a writer", "RWLock"), "dpor": ("Peterson's lock",)}
EXHAUSTED = {"dfs": "preemptions <= 2", "dpor": "all"}
CASES = [(name, strategy) for name in STRUCTURES for strategy in EXHAUSTED if name not in LARGE[strategy]]


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_a_promise_holds_in_every_schedule(name: str, strategy: str) -> None:
    found = explore(STRUCTURES[name], strategy=strategy, bound=2, schedules=MOST, seconds=PATIENCE)
    assert not found.failure, found
    assert found.exhausted == EXHAUSTED[strategy], found
