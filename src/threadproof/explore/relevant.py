"""Which accesses matter: those whose variable two threads use at one time, one of them to write.

Before any other access, it makes no difference which thread runs. So strategies that are not based on
partial orders choose a thread only before synchronisation and before these. They are instructions, because a
variable of one run is not there in the next one. core/explore/shared.hpp finds those of one run.
"""

from __future__ import annotations

from array import array

from threadproof.explore.schedule import Log

NONE = array("Q", [1]).tobytes()  # no instruction: an empty list would stand for all


class Relevant:
    """What all runs so far have shown."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self.last = b""  # of the run before
        self.unknown = False
        self.sites = b""  # as Plan has them: ascending words; before the first run, every access may matter

    def give_up(self) -> None:
        """From now on every access may matter: others happen that are not in any log."""
        self.unknown = True
        self.sites = b""

    def learn(self, log: Log) -> None:
        """Add what this run shows."""
        if self.unknown or (log.shared == self.last and self.sites):
            return
        self.last = log.shared
        found = set(array("Q", log.shared))
        if not found <= self.found or not self.sites:
            self.found |= found
            self.sites = array("Q", sorted(self.found)).tobytes() or NONE
