"""A watch: the time in which the probe publishes for one subscriber; accesses only once a thread starts.

Until a second thread starts, nothing can race or contend. So a watch that is started while one thread runs
publishes only the events that order threads, and the allocations of objects. The first start of a thread
*arms* it: the methods of C types are intercepted, the self-test runs, and code is instrumented.
"""

from __future__ import annotations

import os
import site
import sys
import threading
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Protocol

from threadproof import _core
from threadproof.probe import interceptors, library, threads
from threadproof.probe.instrumentation import UnsupportedError, instrumentation
from threadproof.probe.library import collector
from threadproof.probe.scope import PACKAGE, UNINSTRUMENTED, Scope
from threadproof.probe.selftest import SelfTestError

ALL_METHODS = frozenset(interceptors.METHODS)
PUBLISHING = ALL_METHODS - {"states", "time"}  # without those that only a scheduler of threads needs
NOWHERE = Scope((), libraries=())  # no code is instrumented


def nothing() -> None:
    pass


class Watch:
    """The probe's work for one subscriber between start() and stop(). Several watches may run at once."""

    def __init__(
        self,
        scope: Scope = NOWHERE,
        methods: Iterable[str] = PUBLISHING,
        *,
        every_access: bool = False,
        armed: Callable[[], None] = nothing,
        starting: Callable[[], None] = nothing,
    ) -> None:
        """`scope`: whose code is instrumented. `methods`: groups of probe/interceptors.py.

        `every_access`: also those that a race detector does not need, such as the load of `x.n += 1`.
        `armed()` is called once, when the watch has been armed; `starting()` before each start of a thread.
        """
        self.scope = scope
        self.methods = frozenset(methods)
        self.every_access = every_access
        self.when_armed = armed
        self.when_starting = starting
        self.armed = False
        self.refused: SelfTestError | None = None

    def start(self) -> None:
        """UnsupportedError where the interpreter is not known, or no tool of sys.monitoring is free."""
        check_interpreter()
        prepare()
        instrumentation.add(self.scope, self.every_access)
        watches.append(self)
        library.install()
        if threading.active_count() > 1:
            self.arm()

    def stop(self) -> None:
        """Threads start as before; permanently intercepted functions publish to other watches only."""
        if self not in watches:  # lint: ignore[CM101] one thread starts and stops watches
            return
        watches.remove(self)
        instrumentation.remove(self.scope, self.every_access)

    def arm(self) -> None:
        """Publish everything from now on. SelfTestError if this interpreter's frames cannot be read."""
        self.armed = True
        collector.follow_callbacks()
        interceptors.intercept_methods(self.methods)
        try:
            instrumentation.arm()
        except SelfTestError as error:
            self.refused = error  # the program may catch it, or it may end a thread: the runner reads it here
            raise
        self.when_armed()

    def join_ended_threads(self) -> None:
        """The calling thread has waited for all threads that are no daemons."""
        _core.probe.join_ended_threads()

    def watched_files(self) -> list[str]:
        """The source files whose code has started while it was watched."""
        return list(instrumentation.stored)

    def summary(self) -> str:
        """What was watched and what was not, in one line."""
        if not self.armed:
            return "no second thread has started in this process, so nothing was watched"
        mine = [
            function
            for function in list(instrumentation.functions)  # in one step: daemons may still add to it
            if counts(function[0]) and function[0] in self.scope
        ]
        functions, files = len(mine), len({file for file, _, _ in mine})
        text = f"watched {functions} function{'s' * (functions != 1)} in {files} file{'s' * (files != 1)}"
        others = sorted(packages_of(list(instrumentation.others)))
        return text + (f"; not watched: {', '.join(others)} (--include)" if others else "")

    def know(self, code: CodeType) -> None:
        """The code of a whole program that is not in a file."""
        instrumentation.know(code)


def counts(file: str) -> bool:
    """Not threadproof's own files, where it is developed."""
    return not file.startswith(PACKAGE)


def packages_of(files: Iterable[str]) -> set[str]:
    """The installed packages that have these files."""
    folders = [os.path.join(path, "") for path in site.getsitepackages()]
    inside = {file.removeprefix(folder) for file in files for folder in folders if file.startswith(folder)}
    names = {path.partition(os.sep)[0].removesuffix(".py") for path in inside}
    return {name for name in names if name.isidentifier() and not name.startswith(("_", "threadproof"))}


watches: list[Watch] = []


class Starting(Protocol):
    """A user of the published starts that is no Watch."""

    def thread_starts(self) -> None: ...


others: list[Starting] = []


def before_a_thread_starts() -> bool:
    """Called by the thread that starts another; whether anybody watches."""
    collector.follow_callbacks()
    for watch in watches:
        if not watch.armed:
            watch.arm()
        watch.when_starting()
    for other in tuple(others):  # a copy, made in one step: another thread may stop
        other.thread_starts()
    return bool(watches or others)


def in_a_foreign_thread() -> None:
    """The calling thread was started by C code, and comes to code of the program."""
    before_a_thread_starts()


prepared = False


def prepare() -> None:
    """The steps that are taken once for the process, and stay in effect."""
    global prepared
    if prepared:
        return
    prepared = True
    configure()
    interceptors.intercept_deallocations()
    instrumentation.when_foreign = in_a_foreign_thread
    for row in threads.ROWS:
        row.install()


configured = False


def configure() -> None:
    """The first of these steps, which suffice where nothing is instrumented: to follow forks and starts."""
    global configured
    if not configured:
        configured = True
        _core.probe.configure(interceptors.INDEXED, interceptors.ITERATORS, UNINSTRUMENTED)
        _core.probe.intercept_starts(before_a_thread_starts)


def check_interpreter() -> None:
    if not hasattr(_core.probe, "instruction"):
        version = ".".join(map(str, sys.version_info[:3]))
        raise UnsupportedError(
            "the probe reads the frames of CPython 3.14 and 3.15, "
            f"and this is {version}; run it with python3.14t"
        )
