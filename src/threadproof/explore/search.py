"""Search strategies: from the logs of the runs so far to the plan of the next. Nothing here runs a thread.

| strategy | source |
|---|---|
| Random | each choice at random |
| Pct | Burckhardt et al., "A randomized scheduler with probabilistic guarantees", ASPLOS 2010 |
| Pos | Yuan et al., "Partial order aware concurrency sampling", CAV 2018 |
| Dfs | Musuvathi, Qadeer, "Iterative context bounding", PLDI 2007: all schedules of few preemptions |
| Dpor | Abdulla et al., "Optimal dynamic partial order reduction", POPL 2014: source sets and sleep sets |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from threadproof.explore.dpor import Dpor
from threadproof.explore.relevant import Relevant
from threadproof.explore.schedule import Log, Plan, Step, members

__all__ = ["STRATEGIES", "Auto", "Dfs", "Dpor", "Pct", "Pos", "Random", "Search"]


class Search(Protocol):
    """plan() and learn() are called by turns; plan() returns None when everything has been explored."""

    def plan(self) -> Plan | None: ...
    def learn(self, log: Log) -> None: ...
    def skip(self) -> None:
        """Instead of learn(): the plan could not be followed."""
        ...

    @property
    def exhausted(self) -> str:
        """Empty, or what was explored: "all", "preemptions <= 2"."""
        ...


class Sampling:
    """Schedules at random, without end. Each run has a seed of its own."""

    policy = "random"
    exhausted = ""

    def __init__(self, seed: int = 0, relevant: Relevant | None = None) -> None:
        self.seed = seed
        self.relevant = relevant or Relevant()
        self.runs = 0
        self.length = 50  # steps of a run: a guess before the first one

    def plan(self) -> Plan:
        self.runs += 1
        return Plan(
            policy=self.policy,
            seed=self.seed << 32 | self.runs,
            length=self.length,
            sites=self.relevant.sites,
        )

    def skip(self) -> None:
        pass

    def learn(self, log: Log) -> None:
        self.relevant.learn(log)
        longest = max(2, log.choices)
        self.length = longest if self.runs == 1 else max(self.length, longest)


class Random(Sampling):
    """A random walk."""


class Pct(Sampling):
    """Random priorities of threads, lowered at random steps."""

    policy = "pct"


class Pos(Sampling):
    """Random priorities of steps."""

    policy = "pos"


class Dfs:
    """Depth first: all schedules with at most `bound` preemptions, each once.

    If a run shows that an access matters which did not seem to, the search begins anew.
    """

    def __init__(self, bound: int = 2, relevant: Relevant | None = None) -> None:
        self.bound = bound
        self.relevant = relevant or Relevant()
        self.sites = self.relevant.sites
        self.chosen = bytearray()
        self.left: list[list[int]] = []  # for each step, the threads to choose instead
        self.exhausted = ""

    def plan(self) -> Plan | None:
        return None if self.exhausted else Plan(prefix=bytes(self.chosen), sites=self.sites)

    def learn(self, log: Log) -> None:
        self.relevant.learn(log)
        used = 0
        for number, step in enumerate(log.steps):
            if number >= len(self.chosen):
                self.chosen.append(step.thread)
                self.left.append(self.alternatives(step, used))
            used += step.preempts
        self.skip()

    def skip(self) -> None:
        """To the deepest step at which another thread can be chosen."""
        del self.left[len(self.chosen) :]
        while self.left and not self.left[-1]:
            self.left.pop()
        del self.chosen[len(self.left) :]
        if self.left:
            self.chosen[-1] = self.left[-1].pop(0)
        elif self.sites != self.relevant.sites:
            self.sites = self.relevant.sites
        else:
            self.exhausted = f"preemptions <= {self.bound}"

    def alternatives(self, step: Step, used: int) -> list[int]:
        """The running thread was chosen if it could run, so that each other choice is a preemption."""
        preempting = bool(step.enabled >> step.running & 1)
        if not step.choice or (preempting and used >= self.bound):
            return []
        return [thread for thread in members(step.enabled) if thread != step.thread]


class Auto:
    """Dpor, while it is a quarter of all schedules or ends; beside it, the others by turns.

    Partial order reduction begins with the neighbours of the first schedule, and so is slow to reach a
    mistake that needs several switches early in a long run; random schedules are not. Later, Dfs with 0, 1
    and 2 preemptions takes the place of Dpor.
    """

    def __init__(
        self, seed: int = 0, bound: int = 2, schedules: int = 2_000, relevant: Relevant | None = None
    ) -> None:
        self.relevant = relevant or Relevant()
        self.systematic = self.searches(bound)
        self.current: Search | None = next(self.systematic)
        self.share = max(1, schedules // 4)  # of Dpor
        self.samples: list[Search] = [each(seed, self.relevant) for each in (Random, Pct, Pos)]
        self.runs = 0
        self.turn: Search = self.samples[0]
        self.exhausted = ""

    def searches(self, bound: int) -> Iterator[Search]:
        yield Dpor()
        for preemptions in range(bound + 1):
            yield Dfs(preemptions, self.relevant)

    def plan(self) -> Plan | None:
        if self.exhausted == "all" or (self.current is None and self.exhausted):
            return None
        self.runs += 1
        if self.runs % 2 and self.current is not None:
            self.turn = self.current
        else:
            self.turn = self.samples[self.runs // 2 % len(self.samples)]
        return self.turn.plan()

    def learn(self, log: Log) -> None:
        self.turn.learn(log)
        self.relevant.learn(log)
        self.proceed()

    def skip(self) -> None:
        self.turn.skip()
        self.proceed()

    def proceed(self) -> None:
        if self.turn is not self.current:
            return
        if self.turn.exhausted:
            self.exhausted = self.turn.exhausted
        if self.turn.exhausted or (isinstance(self.turn, Dpor) and self.turn.runs >= self.share):
            self.current = next(self.systematic, None)


STRATEGIES: dict[str, Callable[[int, int, int, Relevant], Search]] = {
    "auto": Auto,
    "random": lambda seed, bound, schedules, relevant: Random(seed, relevant),
    "pct": lambda seed, bound, schedules, relevant: Pct(seed, relevant),
    "pos": lambda seed, bound, schedules, relevant: Pos(seed, relevant),
    "dfs": lambda seed, bound, schedules, relevant: Dfs(bound, relevant),
    "dpor": lambda seed, bound, schedules, relevant: Dpor(),
}
"""By name: a function of the seed, the bound of preemptions, the number of schedules, and what matters."""
