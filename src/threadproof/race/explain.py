"""From a pair of accesses to a finding: both stacks, the object, why nothing orders the two, and the fix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import CodeType

from threadproof import _core
from threadproof.findings import Finding, Place, Severity, Step
from threadproof.race.bindings import binding_of
from threadproof.race.kinds import Access, Race, kind_of
from threadproof.race.naming import name_of, source_name

PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
RUNNERS = (PACKAGE + "cli/", PACKAGE + "pytest_plugin.py")  # call the program
LIBRARY = os.path.dirname(os.__file__) + os.sep
BETWEEN = (PACKAGE + "race/", LIBRARY + "threading.py", "<frozen importlib")  # are called by it

RawRace = tuple[object, ...]


@dataclass(frozen=True)
class Started:
    """A thread: its name, and by which thread and where it was started (0 where that was not seen)."""

    name: str
    by: int
    stack: int


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
    functions = {(place.file, place.function) for place in map(innermost, (race.earlier, race.later))}
    return subject(race), frozenset(functions)


def finding_of(race: Race, started: dict[int, Started]) -> Finding:
    kind = kind_of(race)
    steps = [*access_steps(race, started), *origin_steps(race, started)]
    return Finding(
        rule=kind.name,
        severity=kind.severity,
        message=kind.message.format(what=what(race)),
        place=innermost(race.later),
        steps=steps,
        why=why(race),
        fix=kind.fix,
        times=race.times,
        subject=subject(race),
    )


def subject(race: Race) -> str:
    """The variable, as the program names it; all items of a container are one."""
    if race.part in ("attribute", "global"):
        return f"{race.owner}.{race.name}"
    return str(race.name if race.part == "cell" else container_name(race) or race.owner)


def container_name(race: Race) -> str | None:
    """What both sides call it."""
    names = {name_of(innermost(access)) for access in (race.earlier, race.later)}
    return names.pop() if len(names) == 1 else None


def what(race: Race) -> str:
    """The variable, in the words of a sentence; of a container, the very item."""
    match race.part:
        case "attribute":
            return subject(race)
        case "global" | "cell" as part:
            kind = "variable" if part == "cell" else part
            return f"the {kind} {subject(race)}"
        case part:
            name = container_name(race)
            container = f"the {race.owner} {name}" if name else f"a {race.owner}"
            return (
                container if part in ("structure", "iterator") else f"the item [{race.name}] of {container}"
            )


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


def access_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """This access, what the same thread then stored there, and the earlier one of the other thread."""
    names = LockNames()

    def step(access: Access, when: str) -> Step:
        verb = "write" if access.write else "read"
        who = thread_name(access.thread, started)
        return Step(f"{when}{verb} by {who}, holding {names.of(access.locks)}", places(access.stack))

    followed = race.then and innermost(race.then) != innermost(race.later)
    then = [step(race.then, "next ")] if race.then and followed else []
    return [step(race.later, ""), *then, step(race.earlier, "earlier ")]


def origin_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """Where the object was made and the two threads were started, as far as that was seen."""
    return [*made_step(race, started), *start_steps(race, started)]


def made_step(race: Race, started: dict[int, Started]) -> list[Step]:
    """Who called the constructor of the object; of a container, the assignment that gave it its name."""
    if race.part in ("item", "index", "structure"):
        place = innermost(race.later)
        name, shown = source_name(place), container_name(race)
        bound = binding_of(name, place) if name and shown else None
        return [Step(f"{shown} is assigned only here", [bound], main=False)] if bound else []
    thread, stack = race.made
    makers = [place for place in places(stack) if place.file][1:]
    what = f"the {race.owner} was made by {thread_name(thread, started)}"
    return [Step(what, makers, main=False)] if makers else []


def start_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """Where the two threads were started; once if it is one place."""
    names: dict[tuple[int, int], list[str]] = {}
    for thread in dict.fromkeys((race.later.thread, race.earlier.thread)):
        origin = started.get(thread)
        if origin and origin.stack:
            names.setdefault((origin.by, origin.stack), []).append(origin.name)
    return [
        Step(
            f"{' and '.join(both)} {'were' if both[1:] else 'was'} started by {thread_name(by, started)}",
            places(stack),
            main=False,
        )
        for (by, stack), both in names.items()
    ]


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
    runs_it = next((depth for depth, place in enumerate(found) if runs_the_program(place)), len(found))
    return [place for place in found[:runs_it] if not place.file.startswith(BETWEEN)]


def runs_the_program(place: Place) -> bool:
    return place.file.startswith((*RUNNERS, "<frozen runpy")) or f"{os.sep}_pytest{os.sep}" in place.file


def place_of(code: CodeType, offset: int) -> Place:
    """Where the instruction stands; a piece of source over several lines is known by its first line only."""
    line, end_line, begin, end = list(code.co_positions())[offset // 2]
    place = Place(code.co_filename, line or code.co_firstlineno, code.co_qualname)
    whole = line == end_line and begin is not None and end is not None
    return place.from_byte(begin or 0, end or 0) if whole else place
