"""Which accesses matter: those whose variable two threads use at one time, one of them to write.

Before any other access, it makes no difference which thread runs. So strategies that are not based on
partial orders choose a thread only before synchronisation and before these. They are instructions, because a
variable of one run is not there in the next one.
"""

from __future__ import annotations

from array import array
from collections import defaultdict

from threadproof.explore.schedule import Log, Step

NONE = array("Q", [1]).tobytes()  # no instruction: an empty list would stand for all


class Relevant:
    """What all runs so far have shown."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self.unknown = False
        self.sites = b""  # as Plan has them: ascending words; before the first run, every access may matter

    def give_up(self) -> None:
        """From now on every access may matter: others happen that are not in any log."""
        self.unknown = True
        self.sites = b""

    def learn(self, log: Log) -> None:
        """Add what this run shows."""
        if self.unknown:
            return
        users: defaultdict[int, int] = defaultdict(int)
        written: set[int] = set()
        concurrent = [step for step in log.steps[first_start(log) :] if step.variable]
        for step in concurrent:
            users[step.variable] |= 1 << step.thread
            if step.write:
                written.add(step.variable)
        found = {step.site for step in concurrent if step.site and is_shared(step, users, written)}
        if not found <= self.found or not self.sites:
            self.found |= found
            self.sites = array("Q", sorted(self.found)).tobytes() or NONE


def first_start(log: Log) -> int:
    """The first step after which there is a second thread."""
    return min((thread.step for thread in log.threads[1:]), default=len(log.steps))


def is_shared(step: Step, users: dict[int, int], written: set[int]) -> bool:
    threads = users[step.variable]
    return step.variable in written and threads & (threads - 1) != 0
