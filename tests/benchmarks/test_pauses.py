"""A pause of the map's own comes in every round at the same place; any other is the machine's."""

from __future__ import annotations

import pytest

from threadproof.bench.pauses import NOTHING, of_every_round, worst_pause
from threadproof.bench.rivals import DICT


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
    figures = [worst_pause(rival, 10_000, threads, rounds=2) for rival in (NOTHING, DICT)]
    assert not [figure.problem for figure in figures if figure.problem]
    assert all(0 < figure.value <= min(figure.samples) for figure in figures)
    assert [len(figure.samples) for figure in figures] == [2, 2]
