"""Each planted mistake is found by every strategy, and no correct twin fails."""

from __future__ import annotations

import pytest

from tests.explore.programs import PLANTED
from tests.explore.variants import VARIANTS
from threadproof.explore import Exploration, explore

# "all but other timeouts": time passes in the program itself
TIMED = ("release after a timeout", "timeout_of_a_condition")
# one thread is enough for the mistake, or the other's step is one that it does not come to
SHORT = (
    *TIMED,
    *("lock_and_join", "own_pool", "notified_one_of_two", "result_before_join"),
    *("started_in_its_constructor", "callback_that_locks_again", "one_barrier_too_few"),
)
EVERY = {**PLANTED, **VARIANTS}
KINDS = {
    **dict.fromkeys(PLANTED, "raised"),
    **dict.fromkeys(("opposite locks", "lost wake-up", "circle of three"), "deadlock"),
    **dict.fromkeys(("empty, then get", "callback under a lock"), "deadlock"),
}
PATIENCE = 60  # seconds: far beyond what any of it takes on a machine that is busy


def explored(test: object, **options: object) -> Exploration:
    return explore(test, seconds=PATIENCE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", EVERY)
def test_a_planted_mistake_is_found_at_once_explained_and_repeated(kind: str) -> None:
    found = explored(EVERY[kind][0], schedules=100)
    assert found.failure, found
    assert found.failure.kind == KINDS.get(kind, found.failure.kind), found
    assert found.preemptions <= 2, found
    assert found.story or kind in SHORT, found
    assert found.replays == 10, found


@pytest.mark.parametrize("kind", EVERY)
def test_of_a_correct_program_all_behaviours_are_explored(kind: str) -> None:
    found = explored(EVERY[kind][1], strategy="dpor", schedules=1_000)
    assert not found.failure, found
    assert found.exhausted == ("all but other timeouts" if kind in TIMED else "all"), found


@pytest.mark.parametrize("strategy", ["dpor", "dfs", "random", "pct", "pos"])
@pytest.mark.parametrize("kind", PLANTED)
def test_every_strategy_finds_a_planted_mistake(kind: str, strategy: str) -> None:
    found = explored(PLANTED[kind][0], strategy=strategy, schedules=3_000)
    assert found.failure, found
    assert found.failure.kind == KINDS[kind], found
