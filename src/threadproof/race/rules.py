"""The rules of the race detector, and the choice of one for two accesses. docs/race.md has the table."""

from __future__ import annotations

from threadproof.findings import Rule, Severity
from threadproof.probe.flags import AccessFlag
from threadproof.race.access import Access, Race

RACE, TIME_OF_CHECK, UNSYNCHRONIZED, DOUBLE_CHECK = "CWE-362", "CWE-367", "CWE-567", "CWE-609"

LOST_UPDATE = Rule(
    "lost-update",
    Severity.ERROR,
    "{variable} is read, changed and stored by two threads with no order between them",
    "hold one lock from the read to the store, in both threads",
    "A statement such as `x.n += 1` reads, adds and stores in three steps. If another thread stores in "
    "between, its change is overwritten. Counters then end too low, and nothing raises.",
    tags=(RACE, UNSYNCHRONIZED),
)
CHECK_THEN_ACT = Rule(
    "check-then-act",
    Severity.ERROR,
    "{variable} is checked by one thread before it acts, and another may act in between",
    "hold one lock from the check to the act, or use one atomic step, such as dict.setdefault()",
    "A test such as `if key not in d` decides what is stored afterwards. If another thread stores in "
    "between, the decision is outdated: two threads both make the value, and one of the two is lost.",
    tags=(RACE, TIME_OF_CHECK),
)
CHANGED_DURING_ITERATION = Rule(
    "changed-during-iteration",
    Severity.ERROR,
    "{variable} is iterated over by one thread while another adds or removes",
    "iterate over a copy, such as list(...), or hold one lock for the iteration and for the change",
    "A loop over a dict or set raises RuntimeError when its size changes, and a loop over a list skips or "
    "repeats items.",
    tags=(RACE, UNSYNCHRONIZED),
)
UNORDERED_WRITES = Rule(
    "unordered-writes",
    Severity.WARNING,
    "{variable} is stored by two threads with no order between them, so that either value may stay",
    "hold one lock around both stores, or let only one thread store it",
    "The last store stays, and which one is last changes from run to run. It is harmless where both threads "
    "store the same value.",
    tags=(RACE, UNSYNCHRONIZED),
)
READ_DURING_UPDATE = Rule(
    "read-during-update",
    Severity.WARNING,
    "{variable} is read by one thread while another updates it",
    "read it under the lock that guards the update, or wait for the other thread first",
    "The reader may see the value before or after the update. It is harmless where the reader needs only a "
    "recent value, such as for a progress bar.",
    tags=(RACE, UNSYNCHRONIZED),
)
STALE_SIZE = Rule(
    "stale-size",
    Severity.WARNING,
    "the size of {variable} is read by one thread while another changes it",
    "hold one lock from the read to the step that depends on it, or just try, and catch the exception",
    "`if items: items.pop()` raises IndexError when another thread has taken the last item in between.",
    tags=(RACE, TIME_OF_CHECK),
)
UNORDERED_READ = Rule(
    "unordered-read",
    Severity.NOTE,
    "{variable} is stored by one thread and read by another with no order between them",
    "hand it over by a queue, an event or a lock, or join the thread first",
    "The reader may see the old value. It is harmless for a flag that a loop tests again and again.",
    tags=(UNSYNCHRONIZED,),
)
DOUBLE_CHECKED = Rule(
    "double-checked-lock",
    Severity.NOTE,
    "{variable} is read without the lock under which it is stored, and then again with it",
    "nothing, if it is stored only once and complete by then; otherwise read it only under the lock",
    "Double-checked locking is right in Python if the object is complete before it is stored.",
    tags=(DOUBLE_CHECK,),
)
ATOMIC_STEPS = Rule(
    "atomic-steps",
    Severity.OFF,
    "{variable} is used by two threads in atomic steps, whose order is left open",
    "nothing, unless the order matters",
    "Each thread takes one atomic step, such as list.append(). Nothing is lost, and the order is not "
    "determined. Reported with --strict only.",
)

RULES = (
    *(LOST_UPDATE, CHECK_THEN_ACT, CHANGED_DURING_ITERATION, UNORDERED_WRITES, READ_DURING_UPDATE),
    *(STALE_SIZE, UNORDERED_READ, DOUBLE_CHECKED, ATOMIC_STEPS),
)


def rule_of(race: Race) -> Rule:
    """The rule that the two accesses break, by their flags."""
    one, other = race.earlier, completed(race)
    atomic = one.has(AccessFlag.ATOMIC) and race.later.has(
        AccessFlag.ATOMIC
    )  # a check and the act after it are not
    if race.part == "structure":
        return rule_of_structure(one, other, atomic)
    if atomic:
        return ATOMIC_STEPS
    if one.write and other.write:
        return rule_of_writes(one, other)
    write, read = (one, other) if one.write else (other, one)
    return rule_of_read(write, read)


def completed(race: Race) -> Access:
    """The later access; a read that its thread followed by a write is the two together."""
    if race.then is None or race.later.write:
        return race.later
    return race.later._replace(write=True, flags=race.later.flags | race.then.flags | AccessFlag.UPDATE)


def rule_of_structure(one: Access, other: Access, atomic: bool) -> Rule:
    for reader, writer in ((one, other), (other, one)):
        if writer.write and reader.has(AccessFlag.ITERATE) and not reader.has(AccessFlag.ATOMIC):
            return CHANGED_DURING_ITERATION
    if atomic:
        return ATOMIC_STEPS
    return STALE_SIZE if (one.flags | other.flags) & AccessFlag.CHECK else ATOMIC_STEPS


def rule_of_writes(one: Access, other: Access) -> Rule:
    flags = one.flags | other.flags
    if flags & AccessFlag.CHECK:
        return CHECK_THEN_ACT
    return LOST_UPDATE if flags & AccessFlag.UPDATE else UNORDERED_WRITES


def rule_of_read(write: Access, read: Access) -> Rule:
    if write.has(AccessFlag.UPDATE) and read.has(AccessFlag.UPDATE):
        return LOST_UPDATE
    if write.has(AccessFlag.CHECK) and read.has(AccessFlag.CHECK):
        only_checked = write.has(AccessFlag.LOCKED) and not read.has(AccessFlag.LOCKED)
        return DOUBLE_CHECKED if only_checked else CHECK_THEN_ACT
    if write.has(AccessFlag.UPDATE) and not read.has(AccessFlag.CHECK):
        return READ_DURING_UPDATE
    return UNORDERED_READ
