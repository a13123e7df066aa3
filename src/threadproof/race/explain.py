"""From a pair of accesses to a finding: what kind of mistake it is, how bad, and how to put it right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import CodeType
from typing import NamedTuple

from threadproof import _core
from threadproof.findings import Finding, Place, Severity, Step
from threadproof.race.traits import Trait

OURS = (
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(os.path.dirname(__file__)) + os.sep + "cli" + os.sep,
)
THREADING = os.path.join(os.path.dirname(os.__file__), "threading.py")


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


RawRace = tuple[object, ...]


@dataclass(frozen=True)
class Started:
    """A thread: its name, and by which thread and where it was started (0 where that was not seen)."""

    name: str
    by: int
    stack: int


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


def explain(raw: Iterable[RawRace], started: dict[int, Started], strict: bool = False) -> list[Finding]:
    """One finding for each root cause, the worst first; `strict` leaves none out, and calls all errors."""
    worst: dict[tuple[object, ...], Finding] = {}
    for race in map(as_race, raw):
        finding = finding_of(race, started)
        if strict:
            finding = replace(finding, severity=Severity.ERROR)
        cause = cause_of(race)
        known = worst.get(cause)
        times = finding.times + (known.times if known else 0)
        best = known if known and known.severity >= finding.severity else finding
        worst[cause] = replace(best, times=times)
    shown = (finding for finding in worst.values() if finding.severity > Severity.OFF)
    return sorted(shown, key=lambda finding: (-finding.severity, finding.place.file, finding.place.line))


def as_race(raw: RawRace) -> Race:
    race = Race(*raw)  # type: ignore[arg-type]
    then = Access(*race.then) if race.then else None
    return race._replace(earlier=Access(*race.earlier), later=Access(*race.later), then=then)


def cause_of(race: Race) -> tuple[object, ...]:
    """Races on one variable between the same two functions have one cause."""
    variable = race.name if race.part in ("attribute", "global", "cell") else None
    functions = {(place.file, place.function) for place in map(innermost, (race.earlier, race.later))}
    return race.owner, variable, frozenset(functions)


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


def finding_of(race: Race, started: dict[int, Started]) -> Finding:
    kind = kind_of(race)
    names = LockNames()
    steps = [
        access_step(race.later, started, names, ""),
        *(
            [access_step(race.then, started, names, "next ")]
            if race.then and innermost(race.then) != innermost(race.later)
            else []
        ),
        access_step(race.earlier, started, names, "earlier "),
        *(start_step(thread, started) for thread in dict.fromkeys((race.later.thread, race.earlier.thread))),
    ]
    return Finding(
        rule=kind.name,
        severity=kind.severity,
        message=kind.message.format(what=what(race)),
        place=innermost(race.later),
        steps=[step for step in steps if step.what],
        why=why(race),
        fix=kind.fix,
        times=race.times,
    )


def what(race: Race) -> str:
    """The variable, as a person would name it."""
    owner = race.owner or "?"
    match race.part:
        case "attribute":
            return f"{owner}.{race.name}"
        case "global":
            return f"the global {race.name} of {owner}"
        case "cell":
            return f"the variable {race.name}"
        case "structure":
            return f"a {owner}"
        case _:
            return f"the item [{race.name}] of a {owner}"


def why(race: Race) -> str:
    """Why nothing orders the two."""
    common = set(race.earlier.locks) & set(race.later.locks)
    if race.earlier.locks and race.later.locks and not common:
        return "the two hold different locks, and different locks do not exclude each other"
    if bool(race.earlier.locks) != bool(race.later.locks):
        return "only one of the two holds a lock; the other does not wait for it"
    return "no lock, queue, event or join that both threads used comes between the two"


class LockNames:
    """Lock A, lock B: the same letter for the same lock, within one report."""

    def __init__(self) -> None:
        self.letters: dict[int, str] = {}

    def of(self, locks: Sequence[int]) -> str:
        names = [
            f"lock {self.letters.setdefault(lock, chr(ord('A') + len(self.letters) % 26))}" for lock in locks
        ]
        return " and ".join(dict.fromkeys(names)) or "no lock"


def access_step(access: Access, started: dict[int, Started], names: LockNames, when: str) -> Step:
    verb = "write" if access.write else "read"
    return Step(
        f"{when}{verb} by {thread_name(access.thread, started)}, holding {names.of(access.locks)}",
        places(access.stack),
    )


def start_step(thread: int, started: dict[int, Started]) -> Step:
    origin = started.get(thread)
    if origin is None or not origin.stack:
        return Step("")
    return Step(f"{origin.name} was started by {thread_name(origin.by, started)}", places(origin.stack)[:1])


def thread_name(thread: int, started: dict[int, Started]) -> str:
    return (
        started[thread].name
        if thread in started
        else f"a thread not started before our eyes (number {thread})"
    )


def innermost(access: Access) -> Place:
    return (places(access.stack) or [Place("?", 0)])[0]


def places(stack: int) -> list[Place]:
    """The program's part of a call stack, the innermost first."""
    found = [place_of(code, offset) for code, offset in _core.race_frames(stack)]
    return [place for place in found if not place.file.startswith(OURS) and not hidden(place)]


def hidden(place: Place) -> bool:
    """How a thread comes to run its target, and how `with` and start() come to us, is nobody's news."""
    return place.file == THREADING or place.file.startswith("<frozen")


def place_of(code: CodeType, offset: int) -> Place:
    line, _, column, end_column = list(code.co_positions())[offset // 2]
    first = code.co_firstlineno
    one_line = end_column if column is not None else None
    return Place(code.co_filename, line or first, code.co_qualname, column, one_line)
