"""Runs: a test is executed once under a plan, and its log is taken."""

from __future__ import annotations

import gc
import logging
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any, Self

from threadproof import _core
from threadproof.explore.schedule import Log, Pending, Plan, Started, Step, Waiting
from threadproof.explore.story import Recorder
from threadproof.explore.threads import Replaced, Unwind, names, reset_names
from threadproof.findings.model import Place
from threadproof.probe.instrumentation import suspended
from threadproof.probe.scope import OWN, Scope
from threadproof.probe.watch import ALL_METHODS, Watch, check_interpreter

MOST_STEPS = 20_000  # of a run: several times what a test has that is small enough to explore
STACK = 24  # frames of a step that a story may need: from the program's line into a library's lock
HANG = 5.0  # seconds of nothing but waits outside of control: a deadlock. No small test has I/O that long.
COLLECT = 500  # runs between two collections: each leaves some cycles of threads and exceptions

# Up to this level, nothing is logged while threads unwind: libraries log what ends their threads.
UNWINDING = logging.CRITICAL


@dataclass
class Failure:
    """Why a run failed. Kinds: "raised" (in the test's own thread or another), "deadlock", "too long"."""

    kind: str
    thread: int = 0
    error: BaseException | None = None
    waiting: list[Waiting] = field(default_factory=list)

    @property
    def signature(self) -> tuple[str, str]:
        """The same for the same mistake in another schedule."""
        return self.kind, f"{type(self.error).__name__}" if self.error else ""


@dataclass(frozen=True)
class Outside:
    """A wait that the explorer does not control: the thread's name, and where it waited."""

    thread: str
    place: Place

    def __str__(self) -> str:
        return f"{self.thread} waited at {self.place}"


@dataclass
class Run:
    """One execution of the test."""

    plan: Plan
    ending: str = ""
    diverged_at: int = 0
    failure: Failure | None = None
    pending: list[Pending] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    sequence: bytes = b""
    recorder: Recorder | None = None
    invariants: list[Callable[[], object]] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)  # if there are any, the run cannot be repeated
    interrupted: bool = False  # the test's own thread, in such a wait
    abandoned: int = 0  # threads that still wait so
    opaque: dict[int, str] = field(default_factory=dict)  # variables of steps that may be several, and types

    def log(self) -> Log:
        """Valid until the next run begins; what was asked for by then stays."""
        return Log(steps, threads, self.pending, *_core.explore.summary())


def steps() -> list[Step]:
    return [Step._make(row) for row in _core.explore.log()]


def threads() -> list[Started]:
    return [Started._make(row) for row in _core.explore.threads()]


class Executor:
    """Controls the threads of a test between start() and stop(); `with` calls both. One at a time."""

    active: Executor | None = None

    def __init__(
        self,
        scope: Scope,
        *,
        timeouts_any: bool = False,
        most_steps: int = MOST_STEPS,
        hang: float = HANG,
    ) -> None:
        self.scope = scope
        self.watch = Watch(scope, ALL_METHODS, every_access=True)
        self.replaced = Replaced(self.in_run, self.thread_failed)
        self.timeouts_any = timeouts_any
        self.most_steps = most_steps
        self.hang = hang
        self.runs = 0
        self.run_: Run | None = None

    # ---- the session

    def start(self) -> None:
        """UnsupportedError, SelfTestError; RuntimeError if another executor is active."""
        check_interpreter()
        if Executor.active:
            raise RuntimeError("an exploration is running already; one at a time, please")
        self.watch.start()
        if not self.watch.armed:
            self.watch.arm()
        _core.explore.subscribe(Unwind, threading.Condition.wait.__code__, self.scope)
        self.replaced.start()
        self.random = random.getstate()
        self.collects = gc.isenabled()
        gc.collect()
        gc.disable()  # a collection in the midst of a run could run finalisers, at another step in each run
        Executor.active = self

    def stop(self) -> None:
        Executor.active = None
        if self.collects:
            gc.enable()
        random.setstate(self.random)
        self.replaced.stop()
        _core.explore.unsubscribe()
        self.watch.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def in_run(self) -> bool:
        return self.run_ is not None and _core.explore.is_controlled()

    # ---- a run

    def run(self, test: Callable[[], object], plan: Plan, recorder: Recorder | None = None) -> Run:
        """Execute the test once. KeyboardInterrupt passes."""
        self.runs += 1
        if self.runs % COLLECT == 0:
            gc.collect()
        random.seed(0)
        reset_names()
        run = self.run_ = Run(plan, recorder=recorder)
        self.begin(run)
        interrupt: KeyboardInterrupt | None = None
        try:
            test()
        except Unwind:
            pass
        except KeyboardInterrupt as error:
            if not run.interrupted:
                interrupt = error
                _core.explore.fail()
        except BaseException as error:
            self.fail(Failure("raised", 0, error))
        finally:
            self.finish(run)
        if interrupt:
            raise interrupt
        return run

    def begin(self, run: Run) -> None:
        plan = run.plan
        _core.explore.begin(
            plan.prefix,
            plan.policy,
            plan.seed & (1 << 64) - 1,
            plan.depth,
            plan.length,
            plan.asleep,
            plan.everywhere,
            plan.sites,
            self.timeouts_any,
            self.most_steps,
            STACK if run.recorder else 0,
            self.stuck,
            run.recorder,
            self.blocked,
            self.hang,
        )

    def finish(self, run: Run) -> None:
        with suspended(), unlogged() if _core.explore.is_running() else nullcontext():
            try:
                run.ending, run.diverged_at, run.abandoned = _core.explore.finish()
            finally:
                self.run_ = None
        if run.ending == "too long" and not run.failure:
            run.failure = Failure("too long")
        run.sequence = _core.explore.sequence()
        run.opaque = dict(_core.explore.opaque())
        run.names = dict(names)

    def fail(self, failure: Failure) -> None:
        """The first failure of the run ends it. What unwinding threads raise afterwards is none."""
        with suspended():
            if self.run_ and not _core.explore.is_over():
                self.run_.failure = failure
                _core.explore.fail()

    def thread_failed(self, args: Any) -> None:
        self.fail(Failure("raised", _core.explore.number(), args.exc_value))

    def always(self, invariant: Callable[[], object]) -> None:
        """See threadproof.explore.always()."""
        run = self.run_
        assert run is not None
        run.invariants.append(invariant)
        _core.explore.check_before_steps(self.check_invariants)

    def check_invariants(self) -> None:
        """Before each step, by the thread that is about to take it."""
        for invariant in self.run_.invariants if self.run_ else ():
            try:
                check_invariant(invariant)
            except Exception as error:
                self.fail(Failure("raised", _core.explore.number(), error))

    def blocked(self, number: int) -> None:
        """A thread waits for what is not controlled; or, with -1, the test's own is to end such a wait."""
        run = self.run_
        if run is None:
            return
        idents = _core.explore.idents()
        if number < 0:
            run.interrupted = can_interrupt(idents[0])
            if run.interrupted:  # said before the signal, of which the other thread may learn at once
                signal.pthread_kill(idents[0], signal.SIGINT)
            return
        stack = places(sys._current_frames(), idents[number])
        inside = [place for place in stack if place.file in self.scope]
        place = (inside or stack or [Place("?", 0)])[0]
        run.outside.append(Outside(names.get(number, f"thread {number}"), place))

    def stuck(self) -> None:
        """No thread can run: called by the last one that ran, while all others wait."""
        run = self.run_
        if run is None:
            return
        run.pending = [Pending._make(row) for row in _core.explore.pending()]
        frames = sys._current_frames()
        idents = _core.explore.idents()
        waiting = [
            waiting_of(number, each, places(frames, idents[number]))
            for number, each in enumerate(run.pending)
            if not each.ended
        ]
        # what has no end of its own, such as the workers of a pool, waits for work when the test is over
        if not run.pending[0].ended or any(is_cycle(each, waiting) for each in waiting):
            run.failure = Failure("deadlock", waiting=waiting)


@contextmanager
def unlogged() -> Iterator[None]:
    """While threads may unwind."""
    level = logging.root.manager.disable
    logging.disable(UNWINDING)
    try:
        yield
    finally:
        logging.disable(level)


def check_invariant(invariant: Callable[[], object]) -> None:
    """AssertionError if it does not hold."""
    if invariant() is False:
        name = getattr(invariant, "__qualname__", repr(invariant))
        raise AssertionError(f"the invariant {name} does not hold")


def can_interrupt(ident: int) -> bool:
    """Whether a signal ends a wait of this thread: only the main thread executes handlers."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return handled and ident == threading.main_thread().ident


def waiting_of(number: int, pending: Pending, stack: list[Place]) -> Waiting:
    """The lock for which Condition.wait() waits stands for a call of notify(), and nobody has it."""
    kind, holder = _core.explore.KINDS[pending.kind], pending.holder
    if stack and stack[0].function == "Condition.wait" and stack[0].file == threading.__file__:
        kind, holder = "notify", None
    return Waiting(number, kind, pending.subject, holder, stack)


def is_cycle(one: Waiting, all_waiting: list[Waiting]) -> bool:
    """Whether the thread waits for another that waits, too, and not just for an item or a notification."""
    return one.holder is not None and any(other.thread == one.holder for other in all_waiting)


def places(frames: dict[int, FrameType], ident: int) -> list[Place]:
    """The call stack of a thread, innermost first, without our own functions."""
    frame = frames.get(ident)
    found = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(OWN):
            found.append(Place(code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname))
        frame = frame.f_back
    return found
