"""From pairs of accesses to findings: both stacks, the object, why nothing orders the two, and the fix."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import CodeType

from threadproof import _core
from threadproof.findings import Finding, Place, Severity, Step
from threadproof.findings.model import file_name
from threadproof.findings.rule import with_article
from threadproof.race.access import Access, Race, as_race
from threadproof.race.bindings import binding_of
from threadproof.race.naming import lasting_name, name_of, source_name
from threadproof.race.rules import advice_for, rule_of
from threadproof.race.updates import is_step, is_update

PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
RUNNERS = (PACKAGE + "cli/", PACKAGE + "pytest_plugin.py")  # call the program: their callers are left out
LIBRARY = os.path.dirname(os.__file__) + os.sep
# The program calls these: their frames are left out.
BETWEEN = (
    *(PACKAGE + area for area in ("probe/", "race/", "maps/", "sync/")),
    *(LIBRARY + "threading.py", "<frozen importlib"),
)

WHY = {
    "different locks": "the two hold different locks, and different locks do not exclude each other",
    "one lock": "only one of the two holds a lock; the other does not wait for it",
    "no lock": "no lock, queue, event or join that both threads used comes between the two",
}


@dataclass(frozen=True)
class Started:
    """A thread: its name, the thread that started it, and the stack there (0 if that is unknown)."""

    name: str
    by: int
    stack: int


def explain(
    rows: Iterable[tuple[object, ...]], started: dict[int, Started], strict: bool = False
) -> list[Finding]:
    """One finding for each cause, worst first. `strict` omits no rule, and makes each finding an error.

    `rows` are those of _core.race.races().
    """
    worst: dict[tuple[object, ...], Finding] = {}
    for race in map(as_race, rows):
        if is_step(race) and not is_update(race):
            continue
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


def cause_of(race: Race) -> tuple[object, ...]:
    """Races on one variable between the same two functions have one cause."""
    functions = {(place.file, place.function) for place in map(innermost, (race.earlier, race.later))}
    return subject(race), frozenset(functions)


def finding_of(race: Race, started: dict[int, Started]) -> Finding:
    finding = rule_of(race).finding(
        innermost(race.later),
        variable=description(race),
        subject=subject(race),
        steps=[*access_steps(race, started), *origin_steps(race, started)],
        why=why(race),
        times=race.times,
        identity=identity(race),
        variable_id=variable_id(race),
        causes=causes(race),
    )
    return replace(finding, fix=advice_for(race)) if is_step(race) else finding


def identity(race: Race) -> str:
    """The same in every run: without lines, threads and their order, and the names of containers."""
    named = race.part in ("attribute", "global", "cell")
    functions = {
        f"{file_name(place)}:{place.function}" for place in map(innermost, (race.earlier, race.later))
    }
    return "\n".join([subject(race) if named else f"a {race.owner}", *sorted(functions)])


def variable_id(race: Race) -> str:
    """The variable's name, the same for all pairs of functions."""
    if race.part in ("attribute", "global"):
        return subject(race)
    sides = [innermost(race.earlier), innermost(race.later)]
    if race.part == "cell":
        functions = {f"{file_name(place)}:{place.function.partition('.<locals>')[0]}" for place in sides}
        return "\n".join([subject(race), *sorted(functions)])
    names = sorted(filter(None, map(lasting_name, sides)), key=lambda name: ("." not in name, name))
    owners = sorted(
        {place.function.rpartition(".")[0] or f"{file_name(place)}:{place.function}" for place in sides}
    )
    return names[0] if names else "\n".join([f"a {race.owner}", *owners])


def causes(race: Race) -> list[str]:
    """The marks of a missing lock: the classes whose state it would guard, the two functions; what is held.

    A lock in a class mends the races on all its attributes, one in two functions those on all that both use.
    """
    sides = [innermost(race.earlier), innermost(race.later)]
    marks = {f"class {name}" for name in classes_of(race, sides)}
    marks.add(" and ".join(sorted({f"{file_name(place)}:{place.function}" for place in sides})))
    return sorted(f"{mark}, {held(race)}" for mark in marks)


def classes_of(race: Race, sides: Sequence[Place]) -> set[str]:
    """The object's class, and those whose methods use it as `self.x`; else the one with both functions."""
    methods = [place.function.rpartition(".")[0] for place in sides]
    found = {
        owner for owner, place in zip(methods, sides, strict=True) if owner and is_own(source_name(place))
    }
    if race.part == "attribute":
        found.add(str(race.owner))
    if not found and methods[0] == methods[1]:
        found.add(methods[0])
    return {name for name in found if name and not name.endswith("<locals>")}


def is_own(name: str | None) -> bool:
    return name is not None and name.startswith("self.")


def subject(race: Race) -> str:
    """The variable's name in the program; all items of a container share one."""
    if race.part in ("attribute", "global"):
        return f"{race.owner}.{unmangled(str(race.name))}"
    return str(race.name if race.part == "cell" else container_name(race) or race.owner)


def unmangled(name: str) -> str:
    """`__x` for `_Class__x`, which is what the source says in that class."""
    return re.sub(r"^_[^\W_]\w*?(?=__\w*[^_]$)", "", name)


def container_name(race: Race) -> str | None:
    """The container's name, if both accesses use the same one."""
    names = {name_of(innermost(access)) for access in (race.earlier, race.later)}
    return names.pop() if len(names) == 1 else None


def description(race: Race) -> str:
    """The variable as part of a sentence; for an item of a container, that item."""
    match race.part:
        case "attribute":
            return subject(race)
        case "global" | "cell" as part:
            return f"the {'variable' if part == 'cell' else part} {subject(race)}"
        case part:
            name = container_name(race)
            container = f"the {race.owner} {name}" if name else with_article(str(race.owner))
            whole = part in ("structure", "iterator") or race.name is None
            return container if whole else f"the item [{race.name}] of {container}"


def why(race: Race) -> str:
    """Why nothing orders the two."""
    if race.between:
        return "it has happened in this run: the write came between the other thread's read and write"
    return WHY[held(race)]


def held(race: Race) -> str:
    """The locks of the two, as a key of WHY."""
    earlier, later = set(race.earlier.locks), set(race.later.locks)
    if earlier and later and not earlier & later:
        return "different locks"
    return "one lock" if bool(earlier) != bool(later) else "no lock"


class LockNames:
    """Lock A, lock B: within one report the same letter is the same lock."""

    def __init__(self) -> None:
        self.letters: dict[int, str] = {}

    def of(self, locks: Sequence[int]) -> str:
        return " and ".join(self.each(locks)) or "no lock"

    def each(self, locks: Sequence[int]) -> list[str]:
        names = [
            f"lock {self.letters.setdefault(lock, chr(ord('A') + len(self.letters) % 26))}" for lock in locks
        ]
        return list(dict.fromkeys(names))


def access_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """The later access, its thread's next write of the variable, and the other thread's earlier access."""
    names = LockNames()

    def step(access: Access, when: str) -> Step:
        verb = "write" if access.write else "read"
        thread = thread_name(access.thread, started)
        return Step(
            f"{when}{verb} by {thread}, holding {names.of(access.locks)}",
            places(access.stack),
            thread=thread,
            access=verb,
            locks=names.each(access.locks),
        )

    elsewhere = race.then and innermost(race.then) != innermost(race.later)
    then = [step(race.then, "next ")] if race.then and elsewhere else []
    return [step(race.later, ""), *then, step(race.earlier, "earlier ")]


def origin_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """The places of the object's allocation and of the two threads' starts, as far as they are known."""
    return [*allocation_step(race, started), *start_steps(race, started)]


def allocation_step(race: Race, started: dict[int, Started]) -> list[Step]:
    """The constructor's caller; for a container, the only assignment to its name."""
    if race.part in ("item", "index", "structure", "value"):
        place = innermost(race.later)
        name, shown = source_name(place), container_name(race)
        bound = binding_of(name, place) if name and shown else None
        return [Step(f"{shown} is assigned only here", [bound], main=False)] if bound else []
    thread, stack = race.made
    callers = [place for place in places(stack) if place.file][1:]
    made = f"the {race.owner} was made by {thread_name(thread, started)}"
    return [Step(made, callers, main=False)] if callers else []


def start_steps(race: Race, started: dict[int, Started]) -> list[Step]:
    """The places where the two threads were started; one step if they are the same."""
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
    if thread in started:
        return started[thread].name
    return (
        f"thread number {thread}, whose start was not recorded" if thread else "a thread that ended long ago"
    )


def innermost(access: Access) -> Place:
    return (places(access.stack) or [Place("?", 0)])[0]


def places(stack: int) -> list[Place]:
    """The program's part of a call stack, innermost call first."""
    found = [place_of(code, offset) for code, offset in _core.probe.frames(stack)]
    runner = next((depth for depth, place in enumerate(found) if runs_the_program(place)), len(found))
    shown = [place for place in found[:runner] if not place.file.startswith(BETWEEN)]
    return without_library_ends(shown) or shown


def without_library_ends(stack: list[Place]) -> list[Place]:
    """Without the library's frames that called the program: a pool's worker is no news."""
    last = max((depth for depth, place in enumerate(stack) if not in_library(place)), default=-1)
    return stack[: last + 1]


def in_library(place: Place) -> bool:
    return place.file.startswith(LIBRARY) and "site-packages" not in place.file


def runs_the_program(place: Place) -> bool:
    return place.file.startswith((*RUNNERS, "<frozen runpy")) or f"{os.sep}_pytest{os.sep}" in place.file


def place_of(code: CodeType, offset: int) -> Place:
    """The instruction's place. An expression of several lines has its first line, and no columns."""
    line, end_line, begin, end = list(code.co_positions())[offset // 2]
    place = Place(code.co_filename, line or code.co_firstlineno, code.co_qualname)
    if in_library(place):
        place = replace(place, shown=f"<stdlib>/{place.file.removeprefix(LIBRARY)}")
    whole = line == end_line and begin is not None and end is not None
    return place.from_byte(begin or 0, end or 0) if whole else place
