"""One session of the race detector: from the start of its watch to the findings."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any

from threadproof import _core
from threadproof.findings import Finding
from threadproof.probe import Scope, SelfTestError, UnsupportedError, library
from threadproof.probe.instrumentation import instrumentation, monitoring
from threadproof.probe.watch import Watch, check_interpreter
from threadproof.race.explain import Started, explain
from threadproof.race.options import HISTORY
from threadproof.race.sampling import Sampler

__all__ = ["Scope", "Session"]

# Variables remembered at most, unless told otherwise: few programs have more, and none fills memory.
VARIABLES = 10_000_000


class Session:
    """Judges the program between start() and stop(); findings() then has what it found.

    One session runs at a time. start() may be called while threads run; what they did before is not judged.
    """

    running: Session | None = None

    def __init__(
        self,
        scope: Scope,
        *,
        history: int = HISTORY,
        sample: bool = False,
        seed: int = 0,
        order_io: bool = False,
        variables: int = VARIABLES,
    ) -> None:
        """Keep `history` calls of each stack; with `sample`, judge some of the accesses only.

        With `order_io`, bytes that are read come after all that were written before. About so many
        variables are remembered.
        """
        self.watch = Watch(scope, armed=self.arm, starting=self.thread_starts)
        self.history = history
        self.order_io = order_io
        self.on_race: Callable[[], object] | None = None  # called amid the program when there is news
        self.variables = variables
        self.claimed: list[tuple[int, int]] = []  # races of blocks of detect() inside this session, by number
        self.sampler = Sampler(monitoring.restart_events, seed) if sample and monitoring else None
        self.races_before = 0
        self.home = threading.get_ident()  # the thread that starts the session

    @staticmethod
    def after_fork() -> None:
        """In a forked child: what its parent has found is its parent's."""
        if Session.running:
            Session.running.races_before = _core.race.race_count()

    def start(self) -> None:
        """UnsupportedError and SelfTestError as they say; nothing is watched then."""
        check_interpreter()
        if Session.running:
            raise UnsupportedError("the race detector is watching already; one session at a time, please")
        Session.running = self
        self.home = threading.get_ident()
        try:
            self.races_before = _core.race.race_count()
            _core.race.start(self.history, self.on_race)
            self.watch.start()
            library.order_bytes(self.order_io)
        except BaseException:
            self.stop()
            raise
        if self.watch.armed:  # for the threads that are there: from now on this one is not alone
            _core.race.assume_threads()

    def arm(self) -> None:
        """Before a second thread starts, or at once if there is one."""
        _core.race.limit(self.variables)
        _core.race.arm(self.own_name())
        if threading.get_ident() != self.home:  # C code has started this thread, and the first one runs
            _core.race.assume_threads()
        if self.sampler:
            self.sampler.start()

    @staticmethod
    def own_name() -> str:
        """The calling thread's name; current_thread() would enter one that C code has started."""
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
        return getattr(thread, "name", "a thread that C code has started")

    def thread_starts(self) -> None:
        if self.sampler:
            self.sampler.thread_starts()

    def stop(self) -> None:
        """Judge nothing from now on."""
        if self.sampler and self.sampler.running.locked():
            self.sampler.stop()
        self.watch.stop()
        library.order_bytes(False)
        _core.race.stop()
        Session.running = None

    @property
    def refused(self) -> SelfTestError | None:
        """Why the session could not be armed, if it could not."""
        return self.watch.refused

    def findings(self, strict: bool = False, since: int = 0) -> list[Finding]:
        """What was found so far, without the first `since` races, the worst first.

        Without what belongs to blocks of detect() inside the session, too.
        """
        rows = _core.race.races(self.races_before + since)
        first = self.races_before + since
        taken = {number for begin, end in self.claimed for number in range(begin, end)}
        return self.explained([row for number, row in enumerate(rows, first) if number not in taken], strict)

    def explained(self, rows: list[Any], strict: bool) -> list[Finding]:
        started = {thread: Started(*origin) for thread, origin in _core.race.threads().items()}
        return explain(rows, started, strict)

    def summary(self) -> str:
        """What was watched, and what was not."""
        return self.watch.summary() + (f"; {self.sampler.coverage()}" if self.sampler else "")

    def part(self, scope: Scope) -> Part:
        """A block inside this session with findings of its own."""
        return Part(self, scope)

    def races(self) -> int:
        """How many races there were; several may have one cause, and so be one finding."""
        return _core.race.race_count() - self.races_before

    def watched_files(self) -> list[str]:
        """The source files whose code has run while it was watched."""
        return self.watch.watched_files()

    def note_ends(self) -> None:
        """The calling thread has joined all threads but daemons, and runs atexit's functions next."""
        self.watch.join_ended_threads()
        _core.probe.observe(atexit)  # pairs with the release in each atexit.register()

    def know(self, code: CodeType) -> None:
        """The code of a whole program that is in no file."""
        self.watch.know(code)


class Part:
    """A block inside a session: its races are reported by it, and not by the session."""

    def __init__(self, session: Session, scope: Scope) -> None:
        self.session, self.scope = session, scope
        self.begin = self.end = 0

    def start(self) -> None:
        instrumentation.add(self.scope)
        if self.session.watch.armed:
            _core.race.arm(self.session.own_name())  # races that were reported before are news for the block
            monitoring.restart_events()
        self.begin = _core.race.race_count()

    def stop(self) -> None:
        self.end = _core.race.race_count()
        self.session.claimed.append((self.begin, self.end))
        instrumentation.remove(self.scope)

    def findings(self, strict: bool = False) -> list[Finding]:
        return self.session.explained(_core.race.races(self.begin)[: self.end - self.begin], strict)

    def summary(self) -> str:
        return self.session.summary()


os.register_at_fork(after_in_child=Session.after_fork)
