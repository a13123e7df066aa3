"""explore(): the search for a failing schedule, and what it found."""

from __future__ import annotations

import inspect
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from threadproof.explore.executor import HANG, MOST_STEPS, Executor, Failure, Run, check_invariant
from threadproof.explore.relevant import Relevant
from threadproof.explore.schedule import Log, Plan
from threadproof.explore.search import STRATEGIES, Dfs, Random, Search
from threadproof.explore.story import Line, Recorder, lines_of, text_of
from threadproof.explore.token import Token, read_token, token_of
from threadproof.findings.model import Place, current_folder
from threadproof.probe.scope import Scope

SCHEDULES, SECONDS, BOUND = 2_000, 10.0, 2
# For each bound of preemptions: a failing schedule of few is found soon, or hardly.
SHRINKING_RUNS, SHRINKING_SECONDS = 500, 2.0  # of this process's time: on a busy machine, too
UNREPEATABLE = 0.1  # of all runs: a test of which so many do not repeat is not explored
PROGRESS = 0.5  # seconds between two calls of progress(): fast enough for a reader
MOST_ABANDONED = 20  # threads that wait for ever outside of control: the process keeps them all
REPLAYS = 10  # of a failing schedule, before it is called repeatable

clock = time.perf_counter
used = time.process_time


@dataclass
class Exploration:
    """The result of `explore()`.

    `failure` is None if no schedule failed. Otherwise `story` has the steps of the failing schedule, `token`
    repeats it, and `replays` is how many of 10 repetitions failed alike. `schedules` counts the runs;
    `exhausted` is the set of schedules that were all run: "all", "preemptions <= 2", or "".

    `uncontrolled` of the runs had waits that the explorer does not control, such as for a socket; `outside`
    says where. Such a run cannot be repeated, so its failure has no token, and nothing is exhausted. Nor is
    it if two threads call one object of the types `opaque`, whose code is not watched and may take several
    steps.
    """

    name: str
    schedules: int = 0
    seconds: float = 0.0
    exhausted: str = ""
    failure: Failure | None = None
    found_at: int = 0
    preemptions: int = 0
    story: list[Line] = field(default_factory=list)
    token: str = ""
    replays: int = 0
    skipped: int = 0  # runs that did not begin as an earlier one
    uncontrolled: int = 0  # runs in which a thread waited for what is not controlled
    outside: list[str] = field(default_factory=list)  # which threads, and where
    opaque: list[str] = field(default_factory=list)  # types whose calls are one step, and may be more
    diverged: str = ""  # of a replay: how it differs from the run that the token was made of
    names: dict[int, str] = field(default_factory=dict)
    command: str = "replay="  # what to put before the token to repeat the schedule
    scope: Scope = field(default_factory=lambda: Scope(()), repr=False)

    @property
    def found(self) -> bool:
        return self.failure is not None

    def check(self) -> None:
        """AssertionError with the report if a schedule has failed, or a replay was not possible."""
        if self.failure or self.diverged:
            raise AssertionError(self.report()) from (self.failure.error if self.failure else None)

    def report(self) -> str:
        """All that is known, as text."""
        if not self.failure:
            return "\n".join(filter(None, [self.diverged, self.summary(), *self.uncontrolled_lines()]))
        parts = [f"{self.name} fails {self.where_found()}: {self.headline()}"]
        if self.story:
            parts.append(text_of(self.story))
        if self.failure.waiting:
            parts.append("\n".join(f"  {line}" for line in self.waits()))
        parts.append(self.footer())
        return "\n\n".join(filter(None, [self.diverged, *parts, "\n".join(self.uncontrolled_lines())]))

    def uncontrolled_lines(self) -> list[str]:
        """The waits that were not controlled."""
        return [f"  uncontrolled: {each}" for each in self.outside]

    def summary(self) -> str:
        """What was explored, in one line."""
        count = f"{self.schedules} schedule{'s' * (self.schedules != 1)} in {self.seconds:.2f} s"
        if self.failure:
            return f"{self.name} fails {self.where_found()}: {self.headline()}"
        match self.exhausted:
            case "" if self.uncontrolled:
                return f"{self.name}: no failure in {count}; {self.uncontrolled} of them were not controlled"
            case "" if self.opaque:
                types = ", ".join(self.opaque)
                return f"{self.name}: no failure in {count}; steps within {types} are not seen"
            case "" if self.skipped:
                return f"{self.name}: no failure in {count}; {self.skipped} of them could not be repeated"
            case "":
                return f"{self.name}: no failure in {count}"
            case "all":
                return f"{self.name}: no failure in {count}; these are all behaviours for this input"
        return f"{self.name}: no failure in {count}; these are all with {self.exhausted}"

    def where_found(self) -> str:
        return f"in schedule {self.found_at} of {self.schedules} ({self.seconds:.2f} s)"

    def headline(self) -> str:
        """The failure in one line."""
        assert self.failure
        match self.failure.kind:
            case "deadlock":
                return "deadlock"
            case "too long":
                return "no end after the largest number of steps: a livelock, or a test that is too long"
        error = self.failure.error
        text = "".join(traceback.format_exception_only(error)).strip().partition("\n")[0]
        thread = self.failure.thread
        return f"{text} in {self.names.get(thread, 'a thread')}" if thread else text

    def footer(self) -> str:
        many = (
            "no preemption"
            if self.preemptions == 0
            else f"{self.preemptions} preemption{'s' * (self.preemptions > 1)}"
        )
        text = f"  {many} (─: another thread continues)"
        if self.failure and not self.token:
            return f"{text}; not repeatable, because a thread waits for what is not controlled"
        if self.token:
            text += f"; {self.replays} of {REPLAYS} replays failed alike\n  {self.command}{self.token}"
        return text

    def waits(self) -> list[str]:
        """For each thread of a deadlock, what it waits for, and which thread has that."""
        return [self.wait_of(each) for each in self.failure.waiting] if self.failure else []

    def wait_of(self, waiting: Any) -> str:
        name = self.names.get(waiting.thread, f"thread {waiting.thread}")
        holder = self.names.get(waiting.holder, f"thread {waiting.holder}")
        place = next((str(place) for place in waiting.stack if place.file in self.scope), "?")
        match waiting.kind:
            case "join":
                what = f"the end of {holder}"
            case "receive":
                what = f"an item of {waiting.subject}"
            case "notify":
                what = "a notify()"
            case "return":
                what = "something that is not controlled, such as a socket or a lock in C code"
            case "acquire" if waiting.holder is None:
                what = f"{waiting.subject}, which no thread of the test has"
            case "acquire":
                what = f"{waiting.subject}, which {holder} has"
            case _:
                what = str(waiting.subject)
        return f"{name} waits at {place} for {what}"

    def place(self) -> Place:
        """Where to look first: the line that raised, or at which a thread waits for ever."""
        assert self.failure
        stack = frames_of(self.failure.error) or [
            place for waiting in self.failure.waiting for place in waiting.stack
        ]
        inside = [place for place in stack if place.file in self.scope]
        return (inside or [line.place for line in self.story[-1:]] or [Place("?", 0)])[0]

    def __str__(self) -> str:
        return self.report()

    def _repr_html_(self) -> str:
        """For a notebook: the report, with its white space."""
        import html

        return f"<pre>{html.escape(self.report())}</pre>"


def frames_of(error: BaseException | None) -> list[Place]:
    """The places of a traceback, innermost first."""
    if error is None:
        return []
    frames = traceback.extract_tb(error.__traceback__)
    return [Place(frame.filename, frame.lineno or 0, frame.name) for frame in reversed(frames)]


def explore(
    test: Callable[[], object],
    *,
    strategy: str = "auto",
    schedules: int = SCHEDULES,
    seconds: float = SECONDS,
    seed: int = 0,
    bound: int = BOUND,
    timeouts: str = "last",
    replay: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    steps: int = MOST_STEPS,
    hang: float = HANG,
    name: str = "",
    roots: Sequence[str] = (),
    progress: Callable[[int, float], object] | None = None,
) -> Exploration:
    """Run the test under one schedule after another: until one fails, or all have been run, or time is up.

    A schedule fails if the test or a thread of it raises, if all threads wait for each other, or after as
    many steps as `steps`. The test is called with no arguments, in the calling thread, `schedules` times at
    most and for about so many `seconds`; so it has to make its objects anew each time.

    `strategy`: "auto", "dpor", "dfs" (with at most `bound` preemptions), "random", "pct", "pos". The same
    `seed` gives the same schedules. `timeouts`: a timeout passes "last", when no thread could run otherwise,
    or at "any" time. `replay` is the token of a schedule: that one is run, and no other.

    Switches are possible in code in the test's folder, below the current one and below `roots`, without
    libraries, and in packages and paths that `include` names. The report calls the test by `name`.
    `progress` is called twice a second, with the number of schedules and the seconds since the beginning.
    A thread that waits for what is not controlled, such as a socket, is noticed after 0.1 s, and the others
    go on. If no other can for `hang` seconds, it is a deadlock, and the wait is ended.
    TokenError for a token that cannot be read; UnsupportedError before CPython 3.14.
    """
    check_arguments(strategy, schedules, timeouts)
    scope = Scope([*roots, *roots_of(test)], include, exclude)
    found = Exploration(name or getattr(test, "__qualname__", repr(test)), scope=scope)
    executor = Executor(scope, timeouts_any=timeouts == "any", most_steps=steps, hang=hang)
    token = read_token(replay) if replay else None
    began = clock()
    with executor:
        explorer = Explorer(executor, test, found, progress)
        explorer.warm_up()
        if token:
            explorer.replay(token)
        else:
            search = STRATEGIES[strategy](seed, bound, schedules, explorer.relevant)
            explorer.search(search, schedules, began + seconds)
        found.seconds = clock() - began
        explorer.explain()
    return found


def always(invariant: Callable[[], object]) -> None:
    """In a test that is explored: from now on, `invariant()` holds before each step of each thread.

    It does not hold if it returns False or raises. It is called by the thread that is about to take the step,
    while no other runs; what it reads is no step. Locks that the test's threads may hold are not for it: it
    would wait for ever. In a test that is not explored, it is checked once, at once.
    """
    check_invariant(invariant)
    executor = Executor.active
    if executor is not None and executor.in_run():
        executor.always(invariant)


def roots_of(test: object) -> list[str]:
    """The folder of the test's code, and the current one."""
    code = getattr(inspect.unwrap(test), "__code__", None)  # type: ignore[arg-type]  # any object will do
    file = getattr(code, "co_filename", "<")
    folder = "" if file.startswith("<") else os.path.dirname(os.path.abspath(file))
    return [root for root in (folder, current_folder()) if root]


def check_arguments(strategy: str, schedules: int, timeouts: str) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(f"explore() has no strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    if schedules < 1:
        raise ValueError(f"explore() wants at least 1 of schedules, got {schedules!r}")
    if timeouts not in ("last", "any"):
        raise ValueError(f"explore() wants timeouts 'last' or 'any', got {timeouts!r}")


class Explorer:
    """One exploration."""

    def __init__(
        self,
        executor: Executor,
        test: Callable[[], object],
        found: Exploration,
        progress: Callable[[int, float], object] | None = None,
    ) -> None:
        self.executor, self.test, self.found, self.progress = executor, test, found, progress
        self.began = self.shown = clock()
        self.failing = b""
        self.abandoned = 0
        self.relevant = Relevant()

    def warm_up(self) -> None:
        """What only the first run does, such as imports and filling caches, is in no schedule."""
        self.executor.run(self.test, Plan())
        self.relevant.learn(self.executor.run(self.test, Plan()).log())

    def search(self, strategy: Search, schedules: int, until: float) -> None:
        found = self.found
        while found.schedules < schedules and (found.schedules == 0 or clock() < until):
            plan = strategy.plan()
            if plan is None and found.uncontrolled:  # the strategy has not seen what it believes
                strategy = Random(found.schedules, self.relevant)
                plan = strategy.plan()
            if plan is None:
                break
            run = self.executor.run(self.test, plan)
            found.schedules += 1
            self.note_outside(run)
            self.show_progress()
            if run.failure:
                found.found_at = found.schedules
                self.keep(run, run.log())
                if not found.uncontrolled:
                    self.shrink(run.failure)
                return
            if run.ending == "diverged":
                self.skip(strategy)
                continue
            if self.abandoned > MOST_ABANDONED:
                break
            log = run.log()
            self.note_opaque(run, log)
            strategy.learn(log)
        if found.uncontrolled or found.opaque:
            return
        if not found.skipped:
            found.exhausted = strategy.exhausted
        elif found.skipped > found.schedules * UNREPEATABLE:
            found.diverged = NOT_REPEATABLE.format(name=found.name, count=found.skipped, all=found.schedules)

    def show_progress(self) -> None:
        now = clock()
        if self.progress and now - self.shown >= PROGRESS:
            self.shown = now
            self.progress(self.found.schedules, now - self.began)

    def note_outside(self, run: Run) -> None:
        self.abandoned += run.abandoned
        self.found.uncontrolled += bool(run.outside)
        new = dict.fromkeys(map(str, run.outside))
        self.found.outside += [each for each in new if each not in self.found.outside]

    def note_opaque(self, run: Run, log: Log) -> None:
        """Objects that two threads use, and with which they take several steps that are not seen."""
        for variable, name in run.opaque.items():
            if name not in self.found.opaque and (len(log.users(variable)) > 1 or is_weak(name)):
                self.found.opaque.append(name)
                self.relevant.give_up()

    def skip(self, strategy: Search) -> None:
        """A run did not take the steps that an earlier one took."""
        self.found.skipped += 1
        strategy.skip()

    def keep(self, run: Run, log: Log) -> None:
        self.failing = run.sequence
        self.found.failure, self.found.names = run.failure, run.names
        self.found.preemptions = log.preemptions

    def shrink(self, failure: Failure) -> None:
        """Search again with fewer preemptions: the fewer a schedule has, the easier it is to read."""
        for bound in range(self.found.preemptions):
            strategy = Dfs(bound, self.relevant)
            until = used() + SHRINKING_SECONDS
            for _ in range(SHRINKING_RUNS):
                plan = strategy.plan()
                if plan is None or used() > until:
                    break
                run = self.executor.run(self.test, plan)
                log = run.log()
                if run.failure and run.failure.signature == failure.signature:
                    self.keep(run, log)
                    return
                if run.ending == "diverged":
                    break
                strategy.learn(log)

    def replay(self, token: Token) -> None:
        recorder = Recorder()
        run = self.executor.run(self.test, Plan(prefix=token.sequence), recorder)
        self.note_outside(run)
        self.found.schedules = self.found.found_at = 1
        log = run.log()
        actual = token_of(log, self.executor.watch.scope)
        self.found.diverged = difference(token, actual, run)
        if run.failure:
            self.keep(run, log)

    def explain(self) -> None:
        """Run the failing schedule once more, for its story, and some times to see whether it fails again."""
        found = self.found
        if not found.failure:
            return
        recorder = Recorder()
        plan = Plan(prefix=self.failing)
        run = self.executor.run(self.test, plan, recorder)
        log = run.log()
        recorder.settle_all()
        signature = found.failure.signature
        if found.uncontrolled:
            if run.failure and run.failure.signature == signature:
                found.story = lines_of(log, recorder, run.names, found.scope)
            return
        found.story = lines_of(log, recorder, run.names, found.scope)
        found.token = str(token_of(log, found.scope))
        if run.failure and run.failure.signature == signature:
            found.failure = run.failure
            name_subjects(run.failure, recorder)
        for _ in range(REPLAYS):
            again = self.executor.run(self.test, plan)
            found.replays += again.failure is not None and again.failure.signature == signature


def is_weak(name: str) -> bool:
    """A weak reference, or a collection of them: a deallocation, which is no step, changes it."""
    return "weak" in name.lower()


NOT_REPEATABLE = (
    "{name} does not repeat: {count} of {all} runs left the schedule of an earlier run. Something else than "
    "the schedule decides what the test does: what earlier runs left behind, the hash of a str, an id, the "
    "time of day, or a thread that is not controlled"
)


def name_subjects(failure: Failure, recorder: Recorder) -> None:
    """The story's names for the objects that the threads wait for."""
    failure.waiting = [recorder.named(each) for each in failure.waiting]


def difference(token: Token, actual: Token, run: Run) -> str:
    """How a replay differs from the run that the token was made of; empty if it does not."""
    if run.ending == "diverged":
        why = "the program or what it depends on has changed"
        if token.python != actual.python:
            why = f"the token is from Python {token.python}, and this is {actual.python}"
        return f"the replay left the schedule at step {run.diverged_at}: {why}"
    if token.steps != actual.steps:
        return "the replay took other steps than the run that the token was made of" + (
            ": the program's code has changed" if token.code != actual.code else ""
        )
    if token.code != actual.code:
        return "the program's code has changed since the token was made, but takes the same steps"
    return ""
