"""Mistakes in the standard library, and how soon they are found by tests that a user would write."""

from __future__ import annotations

import random
import uuid
from functools import cached_property

import pytest

from tests.explore.programs import together
from tests.kit.hammer import PATIENCE
from threadproof.explore import Exploration, explore


def found_in(package: str, test: object, strategy: str) -> Exploration:
    found = explore(test, include=[package], strategy=strategy, schedules=1_000, seconds=PATIENCE)  # type: ignore[arg-type]
    assert found.failure, found
    assert found.found_at <= 100, found
    assert found.preemptions <= 2, found
    assert found.replays == 10, found
    return found


STRATEGIES = ("auto", "dpor", "dfs")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_threads_get_the_same_number_from_gauss(strategy: str) -> None:
    """Its documentation says so: "It is possible that they will receive the same return value"."""

    def test() -> None:
        numbers = random.Random(1)
        numbers.gauss()  # makes two, and keeps one
        got: list[float] = []
        together(*[lambda: got.append(numbers.gauss())] * 2)
        assert got[0] != got[1]

    found_in("random", test, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_cached_property_is_computed_twice(strategy: str) -> None:
    """Since Python 3.12 it has no lock."""

    def test() -> None:
        made: list[int] = []

        class Config:
            @cached_property
            def value(self) -> int:
                made.append(1)
                return len(made)

        config = Config()
        together(*[lambda: config.value] * 2)
        assert made == [1]

    found_in("functools", test, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_threads_get_the_same_uuid(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """uuid1() without the system's function compares the time with the last one, and stores it later."""
    explore(lambda: None)  # the clocks of the system are intercepted once, and this is none of them
    monkeypatch.setattr(uuid, "_generate_time_safe", None)
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)  # the clock has not advanced in between

    def test() -> None:
        uuid._last_timestamp = None  # type: ignore[attr-defined]  # as when the process begins
        made: list[uuid.UUID] = []
        together(*[lambda: made.append(uuid.uuid1(node=1, clock_seq=1))] * 2)
        assert made[0] != made[1]

    found_in("uuid", test, strategy)
