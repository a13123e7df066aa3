"""A pause of the map's own comes in every round at the same place; any other is the machine's."""

from __future__ import annotations

import pytest

from threadproof.bench.contenders import DICT, NOTHING
from threadproof.bench.pauses import of_every_round, worst_pause


@pytest.mark.parametrize(
    ("rounds", "worst"),
    [
        ([[1, 1, 9, 1], [1, 1, 8, 1]], 8),
        ([[1, 9, 1, 1], [1, 1, 8, 1]], 8),  # on the border of two parts, it may be noted in either
        ([[9, 1, 1, 1], [1, 1, 1, 9]], 1),
        ([[9, 9, 9, 9], [1, 2, 1, 1]], 2),
    ],
)
def test_a_pause_counts_that_comes_in_every_round_in_the_same_part_or_the_next(
    rounds: list[list[float]], worst: float
) -> None:
    assert of_every_round(rounds) == worst


@pytest.mark.parametrize("threads", [1, 2])
def test_every_round_has_its_own_worst(threads: int) -> None:
    measurements = [worst_pause(contender, 10_000, threads, rounds=2) for contender in (NOTHING, DICT)]
    assert not [measurement.problem for measurement in measurements if measurement.problem]
    assert all(0 < measurement.value <= min(measurement.samples) for measurement in measurements)
    assert [len(measurement.samples) for measurement in measurements] == [2, 2]
