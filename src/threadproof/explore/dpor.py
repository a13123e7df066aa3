"""Dynamic partial order reduction: one of all schedules that differ only in the order of independent steps.

Two steps are dependent if they are about the same variable and one of them writes, or about the same lock.
The log of a run gives a happens-before relation, the order of dependent steps and of each thread's own. Two
dependent steps that nothing else orders are a *race* in the sense of this algorithm: the other order is
another behaviour, so a thread that leads to it is added to the backtrack set of the point before the first of
the two. A *sleep set* has the threads whose next step was explored from there already, in an order that
differs only in independent steps.

Source: Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial order reduction (POPL 2014), algorithm 1,
with source sets. Time is not part of the relation: a run in which a timeout passed has other behaviours.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from threadproof import _core
from threadproof.explore.schedule import Log, Plan, Step, members

KINDS: tuple[str, ...] = getattr(getattr(_core, "explore", None), "KINDS", ())
ACQUIRE, TRY, RELEASE, JOIN = (
    KINDS.index(name) if KINDS else -1 for name in ("acquire", "try", "release", "join")
)
LOCKING = {ACQUIRE, TRY, RELEASE}

Clock = dict[int, int]  # for each thread, how many of its steps happened before


@dataclass(slots=True)
class Node:
    """A point of the current run, before the step of `chosen`. Sets of threads have a bit for each."""

    chosen: int
    enabled: int
    sleep: int
    backtrack: int
    done: int = 0


@dataclass(slots=True)
class Event:
    """A step of the log: it is the thread's step number `count`; the clock includes it."""

    thread: int
    count: int
    clock: Clock


@dataclass(slots=True)
class Variable:
    """The events on one variable that later ones can race with."""

    write: int | None = None
    reads: dict[int, int] = field(default_factory=dict)  # by thread
    acquired: int | None = None
    released: int | None = None
    tries: list[int] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)  # acquisitions that readers share, since `acquired`
    left: list[int] = field(default_factory=list)  # and their releases


class Dpor:
    """Every behaviour once, as far as variables and locks determine it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.exhausted = ""
        self.runs = 0
        self.timed = False  # a timeout has passed in some run

    def plan(self) -> Plan | None:
        if self.exhausted:
            return None
        prefix = bytes(node.chosen for node in self.nodes)
        last = self.nodes[-1] if self.nodes else None
        return Plan(prefix=prefix, asleep=(last.sleep | last.done) if last else 0, everywhere=True)

    def learn(self, log: Log) -> None:
        self.runs += 1
        self.timed |= any(step.timed_out for step in log.steps)
        for step in log.steps[len(self.nodes) :]:
            self.nodes.append(Node(step.thread, step.enabled, step.asleep, 1 << step.thread))
        for earlier, events in Races(log).found:
            self.reverse(earlier, events)
        self.backtrack()

    def reverse(self, earlier: int, events: list[Event]) -> None:
        """A thread that can begin the events, which do not happen after `earlier`, is to go before it."""
        node = self.nodes[earlier]
        initials = initials_of(events)
        if node.backtrack & initials:
            return
        able = initials & node.enabled
        last = 1 << events[-1].thread
        if able & last:
            node.backtrack |= last
        elif able:
            node.backtrack |= able & -able
        else:
            node.backtrack |= node.enabled

    def skip(self) -> None:
        """The plan could not be followed."""
        self.runs += 1
        self.backtrack()

    def backtrack(self) -> None:
        """To the deepest point at which something is left to do."""
        while self.nodes:
            node = self.nodes[-1]
            node.done |= 1 << node.chosen
            if left := node.backtrack & ~node.done & ~node.sleep:
                node.chosen = members(left)[0]
                return
            self.nodes.pop()
        self.exhausted = "all but other timeouts" if self.timed else "all"


def initials_of(events: list[Event]) -> int:
    """The threads whose first event among these happens after none of the others."""
    initials, seen = 0, set()
    for place, event in enumerate(events):
        if event.thread in seen:
            continue
        seen.add(event.thread)
        if not any(happens_before(other, event) for other in events[:place]):
            initials |= 1 << event.thread
    return initials


def happens_before(one: Event, other: Event) -> bool:
    return other.clock.get(one.thread, 0) >= one.count


class Races:
    """The reversible races of a log: (number of the first step, events to execute before it instead)."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.events: list[Event] = []
        self.clocks: list[Clock] = [{} for _ in log.threads]
        self.counts = [0] * len(log.threads)
        self.variables: defaultdict[int, Variable] = defaultdict(Variable)
        self.found: list[tuple[int, list[Event]]] = []
        self.created = sorted((each.step, number) for number, each in enumerate(log.threads) if number)
        for number, step in enumerate(log.steps):
            self.begin_threads(number)
            self.execute(step)
        self.begin_threads(len(log.steps))
        self.blocked()

    def begin_threads(self, number: int) -> None:
        """What a thread's creator did before happens before the thread."""
        while self.created and self.created[0][0] <= number:
            thread = self.created.pop(0)[1]
            self.clocks[thread] = dict(self.clocks[self.log.threads[thread].parent])

    def execute(self, step: Step) -> None:
        number, thread = len(self.events), step.thread
        before = self.clocks[thread]
        self.counts[thread] += 1
        event = Event(thread, self.counts[thread], dict(before))
        variable = self.variables[step.variable] if step.variable else Variable()
        racing, ordering = dependent(step, variable)
        for other in ordering:
            join(event.clock, self.events[other].clock)
        event.clock[thread] = event.count
        self.events.append(event)
        self.clocks[thread] = event.clock
        for other in racing:
            self.race(other, before, event)
        note(step, variable, number)

    def race(self, earlier: int, before: Clock, event: Event) -> None:
        """Note it, unless something else orders the two events. `before`: the clock before the second."""
        first = self.events[earlier]
        if first.thread == event.thread or before.get(first.thread, 0) >= first.count:
            return
        between = [each for each in self.events[earlier + 1 :] if each is not event]
        self.found.append((earlier, [*(e for e in between if not happens_before(first, e)), event]))

    def blocked(self) -> None:
        """A thread that waits for a lock for ever races with the acquisition by another."""
        for thread, waiting in enumerate(self.log.pending):
            if waiting.ended or waiting.kind != ACQUIRE:
                continue
            variable = self.variables[waiting.variable]
            before = self.clocks[thread]
            event = Event(thread, self.counts[thread] + 1, {**before, thread: self.counts[thread] + 1})
            holders = [variable.acquired] if variable.acquired is not None else []
            for holder in (*holders, *(variable.entered if waiting.write else ())):
                self.race(holder, before, event)


def join(clock: Clock, other: Clock) -> None:
    for thread, count in other.items():
        if clock.get(thread, 0) < count:
            clock[thread] = count


def dependent(step: Step, variable: Variable) -> tuple[list[int], list[int]]:
    """The earlier events that could have come after the step, and those that happen before it."""
    if step.kind in LOCKING:
        return dependent_on_lock(step, variable)
    earlier = [*variable.reads.values()] if step.write else []
    if variable.write is not None:
        earlier.append(variable.write)
    # a thread cannot be joined before it has ended, so that order is the only one
    return ([] if step.kind == JOIN and not step.timed_out else earlier), earlier


def dependent_on_lock(step: Step, variable: Variable) -> tuple[list[int], list[int]]:
    """An acquisition cannot precede the release that it needs, but it can precede the other acquisition."""
    acquired = [] if variable.acquired is None else [variable.acquired]
    released = [] if variable.released is None else [variable.released]
    if not step.write:  # a reader
        return ([] if step.kind == RELEASE else acquired), [*acquired, *released]
    ordering = [*acquired, *released, *variable.tries, *variable.entered, *variable.left]
    if step.kind == ACQUIRE and not step.timed_out:
        return [*acquired, *variable.tries, *variable.entered], ordering
    if step.kind != RELEASE:
        return [*acquired, *released], ordering
    return list(variable.tries), ordering


def note(step: Step, variable: Variable, number: int) -> None:
    if step.kind in LOCKING and not step.write:
        (variable.left if step.kind == RELEASE else variable.entered).append(number)
    elif step.kind == ACQUIRE and not step.timed_out:
        variable.acquired = number
        variable.tries, variable.entered, variable.left = [], [], []
    elif step.kind == RELEASE:
        variable.released = number
    elif step.kind in LOCKING:
        variable.tries.append(number)
    elif step.write:
        variable.write, variable.reads = number, {}
    else:
        variable.reads[step.thread] = number
