"""Was a concurrent run correct? Record the results in each thread, and search for an order that explains all.

A *history* is a list of operations, each with the instant it was invoked and the instant it returned. It is
linearizable if its operations can be put in one sequence with two properties: an operation that returned
before another was invoked comes before it, and a sequential model of the sequence gives all recorded results.

The search (Wing and Gong, 1993): the next operation in the sequence must be one that no other operation must
precede. Try each of those: let the model take the step, and continue; if the model refuses, go back. Lowe's
pruning (2017): two prefixes with the same operations and the same state of the model have the same
continuations, so one of them is enough. Partition (Herlihy and Wing, 1990): a history over independent
objects, such as the keys of a map, is linearizable if the history of each object is.

The definition of "before". Stamps come from one clock that never runs backwards in any thread, so a return
stamp smaller than an invocation stamp is an order. Operations with equal stamps overlap. Operations of one
thread are in program order, with any stamps. A clock is not a fence: if a write ends in a plain store, the
store can become visible just after its return stamp. For such a structure use
`clock=itertools.count().__next__`: each tick is one atomic step, so a smaller tick is proof. The cost is a
cache line that all threads write.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from operator import attrgetter
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

REFUSED: Final = object()
"""What a model's step returns when no structure in that state could have given that result."""


class Call(NamedTuple):
    """A call on a target, with its name and arguments in the model."""

    name: str
    args: tuple[Any, ...]
    do: Callable[[Any], object]


class Operation(NamedTuple):
    """A call that was made: its thread, its begin and end, and its result (or the type of its exception)."""

    thread: int
    number: int  # of the thread's calls: its program order
    name: str
    args: tuple[Any, ...]
    invoked: int
    returned: float  # math.inf: not yet
    result: Any

    def precedes(self, other: "Operation") -> bool:
        """Whether this call ended before the other began. Pieces of one call do not precede each other."""
        return self.returned < other.invoked or (self.thread == other.thread and self.number < other.number)

    def __str__(self) -> str:
        result = self.result.__name__ if isinstance(self.result, type) else repr(self.result)
        return f"{self.name}({', '.join(map(repr, self.args))}) -> {result}"


History = Sequence[Operation]
"""Operations in any order, except that those of one thread stand in the order it made them."""


class Recorder:
    """Records the calls of threads on a target. The threads share only the clock; each has its own log."""

    def __init__(self, threads: int, clock: Callable[[], int] = perf_counter_ns) -> None:
        self._logs: list[list[tuple[Call, int, int, object]]] = [[] for _ in range(threads)]
        self._clock = clock

    def perform(self, thread: int, calls: Iterable[Call], target: object) -> None:
        """Make the calls one after the other, as this thread."""
        note, clock = self._logs[thread].append, self._clock
        for call in calls:
            invoked = clock()
            try:
                result = call.do(target)
            except Exception as error:
                result = type(error)
            note((call, invoked, clock(), result))

    def history(self) -> History:
        """The calls so far. Call it while no thread performs."""
        return [
            Operation(thread, number, call.name, call.args, invoked, returned, result)
            for thread, log in enumerate(self._logs)
            for number, (call, invoked, returned, result) in enumerate(log)
        ]


def _one_part(operation: Operation) -> Iterable[tuple[Hashable, Operation]]:
    return [("everything", operation)]


@dataclass(frozen=True)
class Model:
    """The allowed behaviour of a structure, one operation at a time.

    step: (state, operation) -> the next state, or REFUSED. States are hashable values.
    parts: cuts an operation into (part, operation) pairs. Parts share no state and are checked apart;
        pieces of one call may take effect at different instants of it.
    reads: names of operations that never change the state. They may be left out of a counter-example.
    """

    initial: Hashable
    step: Callable[[Any, Operation], Any]
    parts: Callable[[Operation], Iterable[tuple[Hashable, Operation]]] = _one_part
    reads: frozenset[str] = frozenset()


class Verdict(Enum):
    OK = "ok"
    ILLEGAL = "illegal"
    UNKNOWN = "unknown"  # the budget ran out first; never to be taken for OK


class Report(NamedTuple):
    """A verdict; if it is ILLEGAL, with a small piece of one part that no order explains."""

    verdict: Verdict
    part: Hashable = None
    history: History = ()
    starts: frozenset[Hashable] = frozenset()  # every state the part can have been in before that piece
    whole: History = ()  # of the part

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return "ok"
        starts = " or ".join(map(repr, self.starts))
        head = f"{self.verdict.value}: no order found for {self.part!r}, starting from {starts}:"
        return f"{head}\n{timeline(self.history)}\nin all of this:\n{timeline(self.whole)}"


def check(history: History, model: Model, budget: int = 1_000_000) -> Report:
    """Whether the history is linearizable. Budget: how many (operations done, state) a search may visit."""
    unknown = None
    for part, operations in _partition(history, model).items():
        if _is_obvious(operations, model):
            continue
        verdict = _search(operations, model, budget)
        if verdict is Verdict.ILLEGAL:
            return _smallest(part, operations, model, budget)
        if verdict is Verdict.UNKNOWN:
            unknown = Report(verdict, part, operations, frozenset([model.initial]), operations)
    return unknown or Report(Verdict.OK)


def assert_linearizable(history: History, model: Model, budget: int = 1_000_000) -> None:
    """Fail with a timeline unless the history is linearizable. Not knowing is failing too."""
    report = check(history, model, budget)
    assert report.verdict is Verdict.OK, str(report)


def _partition(history: History, model: Model) -> dict[Hashable, list[Operation]]:
    parts: dict[Hashable, list[Operation]] = defaultdict(list)
    for operation in history:
        for part, piece in model.parts(operation):
            parts[part].append(piece)
    return parts


_returned = attrgetter("returned")


def _is_obvious(operations: History, model: Model) -> bool:
    """Whether the likeliest line, in the order of the returns, is an explanation. Most often it is."""
    state, step = model.initial, model.step
    for operation in sorted(operations, key=_returned):
        state = step(state, operation)
        if state is REFUSED:
            return False
    return True


def _search(operations: History, model: Model, budget: int) -> Verdict:
    try:
        found = next(_explanations(operations, model, budget), REFUSED)
    except _BudgetError:
        return Verdict.UNKNOWN
    return Verdict.ILLEGAL if found is REFUSED else Verdict.OK


class _BudgetError(Exception):
    """The search has exceeded its budget."""


def _explanations(operations: History, model: Model, budget: int) -> Iterator[Hashable]:
    """The state after each line that explains the operations, likely lines first.

    An operation that has not returned may be in the line or not. Sets of operations are bit masks.
    """
    line = sorted(operations, key=_returned, reverse=True)
    before = [sum(1 << a for a, first in enumerate(line) if first.precedes(second)) for second in line]
    needed = sum(1 << index for index, operation in enumerate(line) if operation.returned < inf)
    todo: list[tuple[int, Any]] = [(0, model.initial)]
    seen = set(todo)
    while todo:
        done, state = todo.pop()
        if done & needed == needed:
            yield state
        for index, operation in enumerate(line):
            if done >> index & 1 or before[index] & ~done:
                continue
            config = (done | 1 << index, model.step(state, operation))
            if config[1] is not REFUSED and config not in seen:
                seen.add(config)
                todo.append(config)
        if len(seen) > budget:
            raise _BudgetError


def _smallest(part: Hashable, operations: History, model: Model, budget: int) -> Report:
    """A small piece of an illegal history that proves as much.

    It ends where the first operation returns that nothing explains. It begins at the last quiet instant
    that does, from each state possible then, lead to the contradiction. Reads that do not matter are left
    out.
    """

    def is_illegal(piece: History) -> bool:
        models = [replace(model, initial=start) for start in starts]
        return all(_search(piece, each, budget) is Verdict.ILLEGAL for each in models)

    starts = frozenset([model.initial])
    piece = next(piece for piece in _beginnings(operations) if is_illegal(piece))
    for past, rest in _quiet_cuts(piece):
        starts = frozenset(_explanations(past, model, budget))
        if is_illegal(rest):
            piece = rest
            break
    for operation in piece:
        without = [other for other in piece if other is not operation]
        if operation.name in model.reads and is_illegal(without):
            piece = without
    return Report(Verdict.ILLEGAL, part, piece, starts, operations)


def _beginnings(operations: History) -> Iterator[History]:
    """The history as it stood at each return, shortest first: what returned later had then not returned."""
    for now in sorted(operation.returned for operation in operations):
        begun = [operation for operation in operations if operation.invoked <= now]
        yield [each if each.returned <= now else each._replace(returned=inf) for each in begun]


def _quiet_cuts(operations: History) -> Iterator[tuple[History, History]]:
    """The history cut at every instant when nothing was going on, latest first, the beginning last."""
    line = sorted(operations, key=lambda operation: operation.invoked)
    for index in range(len(line) - 1, -1, -1):
        past, rest = line[:index], line[index:]
        if all(operation.returned < rest[0].invoked for operation in past):
            yield past, rest


def timeline(history: History) -> str:
    """The history as text: a row for each thread, a box for each call, columns in the order of the stamps."""
    calls: dict[tuple[int, int], list[Operation]] = defaultdict(list)
    for operation in sorted(history, key=lambda operation: operation.invoked):
        calls[operation.thread, operation.number].append(operation)
    boxes = [(pieces[0], " & ".join(map(str, pieces))) for pieces in calls.values()]
    column = _columns(boxes)
    rows: dict[int, str] = {}
    for call, label in boxes:
        width = column[call.returned] - column[call.invoked] - 1
        end = "]" if call.returned < inf else "..."
        row = rows.get(call.thread, f"thread {call.thread}: ").ljust(column[call.invoked])
        rows[call.thread] = row + f"[{label:<{width}}{end}"
    return "\n".join(rows[thread] for thread in sorted(rows))


def _columns(boxes: list[tuple[Operation, str]]) -> dict[float, int]:
    """Where in a row each stamp is, such that every label has room between its two."""
    column: dict[float, int] = {}
    place = len("thread 0: ") - 1
    for stamp in sorted({stamp for call, _ in boxes for stamp in (call.invoked, call.returned)}):
        ending = [(call, label) for call, label in boxes if call.invoked < stamp == call.returned]
        place = max([place + 1, *(column[call.invoked] + len(label) + 1 for call, label in ending)])
        column[stamp] = place
    return column
