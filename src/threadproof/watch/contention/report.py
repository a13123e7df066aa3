"""The report: the objects waited at, with the paths of waiters and holders; threads; the longest waits."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from threadproof.findings.model import Place
from threadproof.watch.contention.naming import name_at_creation, name_at_wait
from threadproof.watch.contention.record import (
    STOPPED,
    Awaited,
    Changing,
    Record,
    Stack,
    Sum,
    Wait,
    place_in_program,
)

SHORT = 1_000_000  # ns: an object whose waits are shorter in all has no row; waking a thread takes some 50 us
SHORT_SHARE = 0.001  # of the session: likewise
LONGEST = 20  # single waits in a report: as many as fit on a screen

NAMED_BY_WAIT = ("lock", "RLock", "RWLock", "SimpleQueue", "Reservation")
IDLE = "idle worker"


@dataclass
class PathOf:
    """The waits from one stack for one holder's stack."""

    stack: Stack
    holder: Stack
    count: int = 0
    delay: int = 0
    most: int = 0
    threads: Counter[str] = field(default_factory=Counter)  # nanoseconds that each has waited
    holder_threads: Counter[str] = field(default_factory=Counter)  # nanoseconds that each was waited for

    @property
    def waiter(self) -> Place | None:
        return place_in_program(self.stack)

    @property
    def holder_place(self) -> Place | None:
        return place_in_program(self.holder)


@dataclass
class Contended:
    """An object, or all objects that were made by one line, and the waits at it."""

    kind: str
    step: str
    waits: bool  # for another thread's step; false: for a lock
    name: str
    created: Place | None
    objects: int
    sampled: bool  # its times are estimates
    paths: list[PathOf]

    @property
    def count(self) -> int:
        return sum(path.count for path in self.paths)

    @property
    def delay(self) -> int:
        """In nanoseconds, of all threads."""
        return sum(path.delay for path in self.paths)

    @property
    def most(self) -> int:
        return max((path.most for path in self.paths), default=0)

    @property
    def title(self) -> str:
        """Such as `Lock Account._lock` or `Queue.get jobs`."""
        step = f".{self.step}" if self.waits and self.step and self.kind != IDLE else ""
        return f"{self.shown_kind}{step} {self.name}".strip()

    @property
    def shown_kind(self) -> str:
        if self.kind == "lock":
            return "Lock"
        if self.kind == STOPPED:
            return self.kind
        return self.kind if self.waits or self.kind in NAMED_BY_WAIT else f"lock of {self.kind}"


@dataclass(frozen=True)
class OfThread:
    """How much of its life in the session a thread has waited: nanoseconds for locks, for steps, idle."""

    name: str
    life: int
    locks: int
    steps: int
    idle: int

    @property
    def share(self) -> float:
        """The part of its life in which it waited for a lock."""
        return self.locks / self.life if self.life else 0.0


class Report:
    """What a profile has found. str() is the table; to_json() and others are its other formats."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @property
    def duration(self) -> int:
        """Nanoseconds."""
        return self.record.end - self.record.begin

    @cached_property
    def contended(self) -> list[Contended]:
        """All objects at which a thread has waited, the longest waits in all first."""
        groups: defaultdict[tuple[object, ...], list[Sum]] = defaultdict(list)
        for each in [*self.record.sums, *map(as_sum, self.record.open)]:
            groups[self.group_of(each.awaited)].append(each)
        return sorted(map(self.contended_of, groups.values()), key=lambda each: -each.delay)

    @property
    def locks(self) -> list[Contended]:
        """Those where threads have waited for each other to leave, without those of short waits."""
        return [each for each in self.contended if not each.waits and self.counts(each)]

    @property
    def steps(self) -> list[Contended]:
        """Those where threads have waited for another one's step: an item, an end, a result."""
        return [each for each in self.contended if each.waits and self.counts(each)]

    def counts(self, each: Contended) -> bool:
        return each.delay >= max(SHORT, SHORT_SHARE * self.duration)

    @cached_property
    def longest(self) -> list[Wait]:
        """The longest single waits, but for those of idle workers."""
        waits = [wait for wait in self.all_waits if self.record.awaited[wait.awaited].kind != IDLE]
        return heapq.nlargest(LONGEST, waits, key=lambda wait: wait.delay)

    @property
    def all_waits(self) -> list[Wait]:
        """Of each thread, the longest."""
        return [*self.record.waits, *self.record.open]

    @cached_property
    def threads(self) -> list[OfThread]:
        """Those that waited for locks most come first."""
        waited: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for each in [*self.record.sums, *map(as_sum, self.record.open)]:
            waited[each.thread][category(self.record.awaited[each.awaited])] += each.delay
        threads = [
            OfThread(
                thread.name, (thread.end or self.record.end) - thread.begin, *by_category(waited[number])
            )
            for number, thread in self.record.threads.items()
        ]
        return sorted(threads, key=lambda each: (-each.locks, -each.steps))

    def name_of_thread(self, number: int) -> str:
        """Empty for 0, which is no thread."""
        thread = self.record.threads.get(number)
        return thread.name if thread else ""

    def title_of(self, awaited: int) -> str:
        return self.titles[self.group_of(awaited)]

    @cached_property
    def titles(self) -> dict[tuple[object, ...], str]:
        groups: defaultdict[tuple[object, ...], list[Sum]] = defaultdict(list)
        for each in [*self.record.sums, *map(as_sum, self.record.open)]:
            groups[self.group_of(each.awaited)].append(each)
        return {key: self.contended_of(sums).title for key, sums in groups.items()}

    def group_of(self, awaited: int) -> tuple[object, ...]:
        """Objects that one line has made are one row; an object of unknown origin is one by itself."""
        each = self.record.awaited[awaited]
        return (each.kind, each.step, each.waits, place_in_program(each.created) or awaited)

    def contended_of(self, sums: list[Sum]) -> Contended:
        awaited = self.record.awaited[sums[0].awaited]
        created = place_in_program(awaited.created)
        paths = sorted(self.paths_of(sums), key=lambda path: -path.delay)
        name = (created and name_at_creation(created)) or name_from(awaited, paths)
        if awaited.kind == "Thread":
            name = self.thread_started_with(sums) or name
        objects = len({each.awaited for each in sums})
        return Contended(
            awaited.kind, awaited.step, awaited.waits, name, created, objects, awaited.sampled, paths
        )

    def thread_started_with(self, sums: list[Sum]) -> str:
        names = {self.name_of_thread(each.holder_thread) for each in sums} - {""}
        return names.pop() if len(names) == 1 else ""

    def paths_of(self, sums: Iterable[Sum]) -> list[PathOf]:
        paths: dict[tuple[Stack, Stack], PathOf] = {}
        for each in sums:
            path = paths.setdefault((each.stack, each.holder), PathOf(each.stack, each.holder))
            path.count += each.count
            path.delay += each.delay
            path.most = max(path.most, each.most)
            path.threads[self.name_of_thread(each.thread)] += each.delay
            if each.holder_thread:
                path.holder_threads[self.name_of_thread(each.holder_thread)] += each.delay
        return list(paths.values())

    @property
    def changing(self) -> list[Changing]:
        """Objects whose reference counts several threads seem to change at once: an estimate."""
        return self.record.changing

    @property
    def not_seen(self) -> list[str]:
        """What this interpreter or system does not show, in sentences."""
        return [*unseen(self.record)]

    def __str__(self) -> str:
        from threadproof.watch.contention.formats.table import as_table

        return as_table(self)

    def as_dict(self) -> dict[str, object]:
        """The data of to_json()."""
        from threadproof.watch.contention.formats.json import as_dict

        return as_dict(self)

    def to_json(self) -> str:
        """A JSON text; docs/contention.md has its fields, and "version" changes when one of them does."""
        from threadproof.watch.contention.formats.json import as_json

        return as_json(self)

    def write(self, format: str, path: str | Path) -> None:  # noqa: A002 - as in other libraries
        """Write it as "json", "html", "pprof" or "collapsed"."""
        from threadproof.watch.contention.formats import FILES

        Path(path).write_bytes(FILES[format](self))


def as_sum(wait: Wait) -> Sum:
    """A wait that has not ended."""
    return Sum(
        wait.thread, wait.awaited, wait.stack, wait.holder, wait.holder_thread, 1, wait.delay, wait.delay
    )


def category(awaited: Awaited) -> str:
    if awaited.kind == IDLE:
        return "idle"
    return "steps" if awaited.waits else "locks"


def by_category(waited: Counter[str]) -> tuple[int, int, int]:
    return waited["locks"], waited["steps"], waited["idle"]


def name_from(awaited: Awaited, paths: list[PathOf]) -> str:
    """As a line that waits at it writes it."""
    for path in paths:
        place = path.waiter
        if place and (
            awaited.sampled or awaited.kind in NAMED_BY_WAIT or f".{awaited.step}(" in place.source()
        ):
            name = name_at_wait(place)
            if name:
                return name
    return ""


def unseen(record: Record) -> Iterator[str]:
    if record.gil:
        yield "waits for the GIL, which is on: of threads that compute, one runs at a time"
        yield "locks of objects and contention for reference counts: with the GIL there are none"
    elif not record.samples:
        yield (
            "waits for locks of objects, and for reference counts: that takes Linux on x86-64, and a "
            "container that allows process_vm_readv() and /proc/thread-self/syscall"
        )
