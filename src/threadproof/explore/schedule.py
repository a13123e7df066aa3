"""Schedules as data: the plan of a run, and the log that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from threadproof.findings.model import Place

NOBODY = 64  # in Step.running: the thread of the step before has ended


@dataclass(frozen=True, slots=True)
class Plan:
    """How to choose the thread of each step: `prefix` has the first ones, then `policy` chooses.

    Policies: "continue" (the running thread, or the one with the least number), "random", "pct" and "pos".
    `asleep` is a set of threads, a bit each: what they would do next, at the last step of the prefix, has
    been explored from there. With `everywhere`, the policy also chooses before a release and the end of a
    thread. `sites`, if there are any, are the instructions before whose accesses it chooses, as
    Relevant.sites has them.
    """

    prefix: bytes = b""
    policy: str = "continue"
    seed: int = 0
    depth: int = 3
    length: int = 50
    asleep: int = 0
    everywhere: bool = False
    sites: bytes = b""


class Step(NamedTuple):
    """A step that a thread has taken; the sets of threads have a bit for each."""

    thread: int
    kind: int  # an index of _core.explore.KINDS
    write: bool
    timed_out: bool
    choice: bool  # another thread could have been chosen
    running: int  # the thread of the step before
    variable: int  # 0: none
    stack: int
    site: int  # the instruction of an access; 0: none
    enabled: int
    asleep: int

    @property
    def preempts(self) -> bool:
        """Whether the thread of the step before could have continued."""
        return self.thread != self.running and bool(self.enabled >> self.running & 1)


class Started(NamedTuple):
    """The start of a thread: by which one, and before which step of the log."""

    parent: int
    step: int


class Pending(NamedTuple):
    """What a thread would do next when its run has ended."""

    ended: bool
    kind: int
    variable: int
    write: bool
    subject: object  # of the step, such as a lock; None: none
    holder: int | None  # the thread that has the lock, or that is waited for


@dataclass(frozen=True)
class Log:
    """All steps of a run, its threads, and what remained to be done.

    The steps are made when they are first asked for, because most strategies need only `shared`, the
    instructions of accesses to shared variables as Relevant.sites has them, and `choices`, the number of
    steps at which another thread could have been chosen.
    """

    make_steps: Callable[[], Sequence[Step]]
    make_threads: Callable[[], Sequence[Started]]
    pending: Sequence[Pending] = ()
    shared: bytes = b""
    choices: int = 0

    @cached_property
    def steps(self) -> Sequence[Step]:
        return self.make_steps()

    @cached_property
    def threads(self) -> Sequence[Started]:
        return self.make_threads()

    @property
    def preemptions(self) -> int:
        return sum(step.preempts for step in self.steps)

    def users(self, variable: int) -> set[int]:
        """The threads that took steps with the variable."""
        return {step.thread for step in self.steps if step.variable == variable}

    @property
    def sequence(self) -> bytes:
        return bytes(step.thread for step in self.steps)


@dataclass(frozen=True)
class Waiting:
    """A thread at a deadlock."""

    thread: int
    kind: str
    subject: object
    holder: int | None
    stack: list[Place]


def members(threads: int) -> list[int]:
    """The numbers in a set of threads."""
    return [number for number in range(threads.bit_length()) if threads >> number & 1]
