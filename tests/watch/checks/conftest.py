"""An engine with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from threadproof.stats import Registry
from threadproof.watch.engine import Engine


class Clock:
    """Seconds that the test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Ward:
    """Some watched structures, and an engine that samples them every ten seconds of its own time."""

    def __init__(self) -> None:
        self.registry, self.clock = Registry(), Clock()
        self.engine = Engine(self.registry, clock=self.clock)

    def watch(self, steps: int, step: Callable[[int], object]) -> set[str]:
        """Call `step` and take a sample, as many times; return all findings there were, as `check name`."""
        seen = set[str]()
        for number in range(steps):
            step(number)
            self.clock.now += 10
            self.engine.evaluate()
            seen |= {f"{finding.rule} {finding.subject}" for finding in self.engine.findings}
        return seen


@pytest.fixture
def ward() -> Ward:
    return Ward()
