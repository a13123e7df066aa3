"""The Universal Scalability Law is found in throughputs made by it; too few points are reported as such."""

from __future__ import annotations

import random
from math import inf

import pytest

from threadproof.bench.scaling import eliminate, fit, interval, solve, verdict


def law(threads: int, sigma: float, kappa: float) -> float:
    return 1e6 * threads / (1 + sigma * (threads - 1) + kappa * threads * (threads - 1))


@pytest.mark.parametrize(("sigma", "kappa"), [(0.05, 0.002), (0.3, 0.01), (0.0, 0.005)])
def test_the_law_that_made_the_throughputs_is_found(sigma: float, kappa: float) -> None:
    found = solve({threads: law(threads, sigma, kappa) for threads in (1, 2, 4, 8, 16)})
    assert found == pytest.approx((sigma, kappa, ((1 - sigma) / kappa) ** 0.5), rel=1e-6, abs=1e-9)


def test_perfect_scaling_has_no_peak() -> None:
    sigma, kappa, peak = solve({threads: law(threads, 0, 0) for threads in (1, 2, 4, 8)})
    assert (sigma, kappa) == pytest.approx((0, 0), abs=1e-9)
    assert peak == inf or peak > 1e3


def test_better_than_perfect_scaling_is_not_negative_contention() -> None:
    assert solve({1: 1.0, 2: 2.2, 4: 4.6, 8: 9.5})[:2] == (0, 0)


def test_intervals_hold_the_measurement_and_grow_with_the_noise() -> None:
    draw = random.Random(1)

    def spread(noise: float) -> tuple[float, float]:
        def noisy(n: int) -> list[float]:
            return [law(n, 0.05, 0.002) * draw.uniform(1 - noise, 1) for _ in range(9)]

        return fit({n: noisy(n) for n in (1, 2, 4, 8, 16)}).contention_interval

    (low, high), (lowest, highest) = spread(0.01), spread(0.2)
    assert low <= 0.06
    assert high >= 0.04
    assert highest - lowest > high - low


def test_two_cpus_are_too_few_points() -> None:
    text = verdict({1: [1.0], 2: [1.9], 4: [1.9], 8: [1.8]}, cpus=2)
    assert text.startswith("too few CPUs to fit the scalability law: with 2, only 1, 2 threads have one each")


def test_enough_points_give_parameters_with_intervals() -> None:
    text = verdict({n: [law(n, 0.05, 0.01)] * 3 for n in (1, 2, 4, 8, 16)}, cpus=16)
    assert text.startswith("contention 5.00% (5.00% to 5.00%), coherency 1.00%")
    assert text.endswith("peak at 10 threads (10 to 10)")


def test_equations_are_solved() -> None:
    assert eliminate([[2, 1], [1, 3]], [5, 10]) == pytest.approx([1, 3])


def test_an_interval_leaves_out_a_fortieth_at_each_end() -> None:
    assert interval(list(range(400))) == (10, 389)
