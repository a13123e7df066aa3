"""What kind of mistake a pair of accesses is: the classes of docs/race.md, and how to tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from threadproof.findings import Severity
from threadproof.race.traits import Trait


class Access(NamedTuple):
    """One side of a race, as the detector has it."""

    thread: int
    write: bool
    traits: int
    stack: int
    locks: tuple[int, ...]

    def has(self, trait: Trait) -> bool:
        return bool(self.traits & trait)


class Race(NamedTuple):
    """What _core.race_races() lists; `then` is what the later thread wrote there next, if it did."""

    object: int
    owner: str | None
    part: str
    name: str | None
    earlier: Access
    later: Access
    then: Access | None
    times: int
    made: tuple[int, int]  # by which thread and where; 0 where that was not seen


@dataclass(frozen=True)
class Kind:
    """A kind of mistake: its name, how bad it is, and what to say of it."""

    name: str
    severity: Severity
    message: str
    fix: str


LOST_UPDATE = Kind(
    "lost-update",
    Severity.ERROR,
    "{what} is read, changed and stored by two threads with no order between them",
    "hold one lock from the read to the store, in both threads",
)
CHECK_THEN_ACT = Kind(
    "check-then-act",
    Severity.ERROR,
    "{what} is looked at by one thread before it acts, and another may act in between",
    "hold one lock from the check to the act, or use one atomic step, such as dict.setdefault()",
)
CHANGED_DURING_ITERATION = Kind(
    "changed-during-iteration",
    Severity.ERROR,
    "{what} is iterated over by one thread while another adds or removes",
    "iterate over a copy, such as list(...), or hold one lock for the iteration and for the change",
)
UNORDERED_WRITES = Kind(
    "unordered-writes",
    Severity.WARNING,
    "{what} is stored by two threads with no order between them, so that either value may stay",
    "hold one lock around both stores, or let only one thread store it",
)
READ_DURING_UPDATE = Kind(
    "read-during-update",
    Severity.WARNING,
    "{what} is read by one thread while another updates it",
    "read it under the lock that guards the update, or wait for the other thread first",
)
SIZE_CHECK = Kind(
    "stale-size",
    Severity.WARNING,
    "the size of {what} is looked at by one thread while another changes it",
    "hold one lock from the look to what depends on it, or just try, and catch the exception",
)
UNORDERED_READ = Kind(
    "unordered-read",
    Severity.NOTE,
    "{what} is stored by one thread and read by another with no order between them",
    "hand it over by a queue, an event or a lock, or join the thread first",
)
DOUBLE_CHECKED = Kind(
    "double-checked-lock",
    Severity.NOTE,
    "{what} is looked at without the lock under which it is stored, and then again with it",
    "nothing, if it is stored only once and complete by then; else look only under the lock",
)
ATOMIC_STEPS = Kind(
    "atomic-steps",
    Severity.OFF,
    "{what} is used by two threads in atomic steps, whose order is left open",
    "nothing, unless the order matters",
)


KINDS = (
    *(LOST_UPDATE, CHECK_THEN_ACT, CHANGED_DURING_ITERATION, UNORDERED_WRITES, READ_DURING_UPDATE),
    *(SIZE_CHECK, UNORDERED_READ, DOUBLE_CHECKED, ATOMIC_STEPS),
)


def kind_of(race: Race) -> Kind:
    """What the traits of the two accesses say; see docs/race.md for the table."""
    one, other = race.earlier, acted(race)
    atomic = one.has(Trait.ATOMIC) and race.later.has(Trait.ATOMIC)  # a check and the act after it are not
    if race.part == "structure":
        return kind_of_structure(one, other, atomic)
    if atomic:
        return ATOMIC_STEPS
    if one.write and other.write:
        return kind_of_writes(one, other)
    write, read = (one, other) if one.write else (other, one)
    return kind_of_read(write, read)


def acted(race: Race) -> Access:
    """The later access; a read that its thread followed up by a write counts as the two together."""
    if race.then is None or race.later.write:
        return race.later
    return race.later._replace(write=True, traits=race.later.traits | race.then.traits | Trait.UPDATE)


def kind_of_structure(one: Access, other: Access, atomic: bool) -> Kind:
    for reader, writer in ((one, other), (other, one)):
        if writer.write and reader.has(Trait.ITERATE) and not reader.has(Trait.ATOMIC):
            return CHANGED_DURING_ITERATION
    if atomic:
        return ATOMIC_STEPS
    return SIZE_CHECK if (one.traits | other.traits) & Trait.CHECK else ATOMIC_STEPS


def kind_of_writes(one: Access, other: Access) -> Kind:
    traits = one.traits | other.traits
    if traits & Trait.CHECK:
        return CHECK_THEN_ACT
    return LOST_UPDATE if traits & Trait.UPDATE else UNORDERED_WRITES


def kind_of_read(write: Access, read: Access) -> Kind:
    if write.has(Trait.UPDATE) and read.has(Trait.UPDATE):
        return LOST_UPDATE
    if write.has(Trait.CHECK) and read.has(Trait.CHECK):
        only_checked = write.has(Trait.LOCKED) and not read.has(Trait.LOCKED)
        return DOUBLE_CHECKED if only_checked else CHECK_THEN_ACT
    if write.has(Trait.UPDATE) and not read.has(Trait.CHECK):
        return READ_DURING_UPDATE
    return UNORDERED_READ
