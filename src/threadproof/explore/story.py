"""The story of a run: one line for each step that another thread could see, in the order of the run."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from threadproof import _core
from threadproof.explore.schedule import Log, Step, Waiting
from threadproof.findings.model import Place
from threadproof.probe.scope import Scope

LONGEST = 40  # characters of a value: a line of the story fits into a terminal
PLAIN = (int, float, bool, type(None))
UNKNOWN = object()
HAPPENS = {
    "acquire": "acquires",
    "try": "tries to acquire",
    "release": "releases",
    "receive": "takes an item of",
    "join": "joins",
    "wait": "waits for",
    "sleep": "sleeps",
}


def shown(value: object) -> str:
    """A value as a story shows it. Runs no code of the program: other objects are shown by their type."""
    if type(value) in PLAIN:
        return repr(value)
    if type(value) in (str, bytes):
        text = repr(value)
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]}...{text[-1]}"
    if type(value) in (list, dict, set, tuple, frozenset):
        return f"{type(value).__name__} of {len(value)}"  # type: ignore[arg-type]
    return f"a {type(value).__qualname__}"


def of_type(thing: object) -> str:
    name = type(thing).__name__
    names = {"lock": "a Lock", "RLock": "an RLock"}
    return names.get(name, f"a{'n' if name[0] in 'AEIOaeio' else ''} {name}")


@dataclass(slots=True)
class Noted:
    """A step as it was announced, and the value after it."""

    kind: str
    write: bool
    variable: int
    part: str
    subject: object
    name: object
    label: str
    value: object = UNKNOWN


@dataclass
class Recorder:
    """Called with each step before it is announced, by the thread that is about to take it."""

    steps: defaultdict[int, list[Noted]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __call__(
        self, thread: int, kind: int, variable: int, write: bool, part: int, subject: object, name: object
    ) -> None:
        self.settle(thread)
        part_name = _core.probe.PARTS[part - 1] if part else ""
        label = self.labels.get(variable) or self.label(variable, part_name, subject, name)
        noted = Noted(_core.explore.KINDS[kind], write, variable, part_name, subject, name, label)
        self.steps[thread].append(noted)

    def settle(self, thread: int) -> None:
        """The thread has executed its last step, and no other has run since: the value is as of that step."""
        if not self.steps[thread]:
            return
        last = self.steps[thread][-1]
        if last.value is UNKNOWN and last.kind == "access":
            last.value = value_of(last)
        last.subject = None

    def settle_all(self) -> None:
        """The run has ended."""
        for thread in list(self.steps):
            self.settle(thread)

    def named(self, waiting: Waiting) -> Waiting:
        """With the label of what it waits for in the place of the object."""
        last = self.steps[waiting.thread][-1] if self.steps[waiting.thread] else None
        return replace(waiting, subject=last.label if last else of_type(waiting.subject))

    def label(self, variable: int, part: str, subject: object, name: object) -> str:
        """The name of a variable: of several objects that are alike, a number tells them apart."""
        match part:
            case "attribute":
                text = (
                    f"{type(subject).__name__ if not isinstance(subject, type) else subject.__name__}.{name}"
                )
            case "global" | "cell":
                text = str(name)
            case "" if isinstance(subject, threading.Thread):
                return subject.name
            case _:
                text = "" if subject is None else of_type(subject)
        if variable and text:
            self.counts[text] = self.counts.get(text, 0) + 1
            if self.counts[text] > 1:
                text = f"{text} #{self.counts[text]}"
            self.labels[variable] = text
        return text


def value_of(noted: Noted) -> object:
    """What the variable holds; UNKNOWN where finding that out could run code of the program."""
    thing: Any = noted.subject
    match noted.part:
        case "attribute":
            return attribute_of(thing, str(noted.name))
        case "global":
            return thing.get(noted.name, UNKNOWN) if type(thing) is dict else UNKNOWN
        case "cell":
            try:
                return thing.cell_contents
            except ValueError:
                return UNKNOWN
        case "item" | "index" if type(thing) in (dict, list) and type(noted.name) in (*PLAIN, str):
            try:
                return thing[noted.name]
            except LookupError:
                return UNKNOWN
        case "structure" if type(thing) in (dict, list, set):
            return Size(len(thing))
    return UNKNOWN


class Size(int):
    """The number of items of a container."""


def attribute_of(thing: Any, name: str) -> object:
    """From the object's own dict, its slot, or its classes'."""
    try:
        if isinstance(thing, ModuleType):
            return thing.__dict__.get(name, UNKNOWN)
        own = object.__getattribute__(thing, "__dict__") if not isinstance(thing, type) else thing.__dict__
        if name in own:
            return own[name]
    except AttributeError:
        pass
    for owner in (thing if isinstance(thing, type) else type(thing)).__mro__:
        found = owner.__dict__.get(name, UNKNOWN)
        if type(found).__name__ == "member_descriptor":
            try:
                return found.__get__(thing, type(thing))
            except AttributeError:
                return UNKNOWN
        if found is not UNKNOWN:
            return UNKNOWN if hasattr(type(found), "__get__") else found
    return UNKNOWN


@dataclass(frozen=True)
class Line:
    """A line of the story. `switch`: another thread than before; `preempts`: which could have continued."""

    thread: str
    place: Place
    what: str
    switch: bool
    preempts: bool


def place_of(stack: int, scope: Scope) -> Place:
    """The program's line of a step: the innermost one in the scope, or else the innermost one."""
    frames = [frame_place(*frame) for frame in _core.probe.frames(stack)] if stack else []
    return next((place for place in frames if place.file in scope), frames[0] if frames else Place("?", 0))


def frame_place(code: Any, offset: int) -> Place:
    line = next((line for begin, end, line in code.co_lines() if begin <= offset < end), None)
    return Place(code.co_filename, line or code.co_firstlineno, code.co_qualname)


def shared_variables(log: Log) -> set[int]:
    """Those that two threads use after the first start of a thread, and at least one changes."""
    users: defaultdict[int, set[int]] = defaultdict(set)
    written = set()
    begin = min((thread.step for thread in log.threads[1:]), default=len(log.steps))
    for step in log.steps[begin:]:
        users[step.variable].add(step.thread)
        if step.write:
            written.add(step.variable)
    for thread, each in enumerate(log.pending):
        users[each.variable].add(thread)
        if each.write:
            written.add(each.variable)
    return {variable for variable, threads in users.items() if len(threads) > 1 and variable in written}


def lines_of(
    log: Log, recorder: Recorder, names: Mapping[int, str], scope: Scope, everything: bool = False
) -> list[Line]:
    """The steps on what two threads share, and sleeps; with `everything`, all steps."""
    shown_variables = shared_variables(log)
    seen: defaultdict[int, int] = defaultdict(int)
    found: list[Line] = []
    preempted = False
    for step in log.steps:
        preempted |= step.preempts
        kind = _core.explore.KINDS[step.kind]
        if kind in ("begin", "return"):  # nothing was announced
            continue
        number, seen[step.thread] = seen[step.thread], seen[step.thread] + 1
        if kind == "end" or not (everything or kind == "sleep" or step.variable in shown_variables):
            continue
        name, place = names.get(step.thread, f"thread {step.thread}"), place_of(step.stack, scope)
        switch = bool(found) and name != found[-1].thread
        line = Line(
            name, place, what_happens(step, recorder.steps[step.thread][number]), switch, preempted and switch
        )
        if everything or not found or line != found[-1]:  # `assert x.n == 2, x.n` reads twice
            found.append(line)
        preempted = False
    return found


def what_happens(step: Step, noted: Noted) -> str:
    if noted.kind == "access":
        verb = "writes" if step.write else "reads"
        if isinstance(noted.value, Size):
            return f"{'changes' if step.write else verb} {noted.label}, {int(noted.value)} items"
        value = "" if noted.value is UNKNOWN else f"   {shown(noted.value)}"
        return f"{verb:6} {noted.label}{value}"
    return f"{HAPPENS[noted.kind]} {noted.label}".strip() + (", and gives up" if step.timed_out else "")


def text_of(lines: Sequence[Line], indent: str = "  ") -> str:
    """The lines as a table; a rule marks where another thread goes on."""
    rows = [
        (
            "─" if line.switch else " ",
            line.thread,
            str(line.place).rpartition("/")[2],
            line.place.source().strip(),
            line.what,
        )
        for line in lines
    ]
    widths = [
        min(max([len(row[column]) for row in rows], default=0), most)
        for column, most in ((1, 28), (2, 28), (3, 44))
    ]
    return "\n".join(f"{indent}{as_row(row, widths)}".rstrip() for row in rows)


def as_row(row: tuple[str, ...], widths: Iterable[int]) -> str:
    cells = [cut(cell, width) for cell, width in zip(row[1:4], widths, strict=True)]
    return f"{row[0]} {'  '.join(cells)}  {row[4]}"


def cut(text: str, width: int) -> str:
    return f"{text:{width}}" if len(text) <= width else f"{text[: width - 3]}..."
