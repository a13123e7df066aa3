"""One watch over the program: from the first thread it starts to the findings.

Until a second thread starts nothing can race, so nothing is watched but where the first objects of a class
are made, for the reports. The first start arms the detector: the self-test, the hooks in the standard
library, and sys.monitoring, which then calls the front end before each instruction of the program's own code
that can touch something shared.
"""

from __future__ import annotations

import _thread
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from types import CodeType, FrameType
from typing import Any

from threadproof import _core
from threadproof.findings import Finding
from threadproof.race import patch
from threadproof.race.edges import patch_early, patch_late
from threadproof.race.explain import Started, explain
from threadproof.race.instrument import READERS, Stored, sites_of, stored_names
from threadproof.race.sampling import Sampler
from threadproof.race.selftest import SelfTestError, self_test

TOOL = 4  # of sys.monitoring's six: none that it reserves for a debugger, coverage, profiler or optimizer
monitoring: Any = getattr(sys, "monitoring", None)  # new in 3.12
VARIABLES = (
    10_000_000  # remembered at most, unless told otherwise: few programs have more, and none fills memory
)
HISTORY = 16  # calls of a stack: enough to tell callers apart, few enough to keep for every access
MADE = 1000  # objects whose making is noted, for each constructor: more are seldom in one report, and cost
NOWHERE = Stored(frozenset(), frozenset())


class UnsupportedError(RuntimeError):
    """This interpreter, or what else watches it, leaves no room for the race detector."""


@dataclass(frozen=True)
class Scope:
    """Whose code is watched: that under the roots, but for libraries, and what is included."""

    roots: Sequence[str]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    libraries: Sequence[str] = field(default_factory=lambda: library_folders())
    decided: dict[str, bool] = field(default_factory=dict)  # asked of each function, and it looks at the disk

    def __contains__(self, filename: str) -> bool:
        inside = self.decided.get(filename)
        if inside is None:
            inside = self.decided[filename] = self.decide(filename)
        return inside

    def decide(self, filename: str) -> bool:
        if not filename.startswith("<"):
            filename = os.path.abspath(filename)  # folder/../other/file.py is not in the folder
        if any(names(package, filename) for package in self.exclude) or filename.startswith(patch.MUTED[-1]):
            return False
        if any(names(package, filename) for package in self.include) or filename == "<string>":
            return True
        own = any(filename.startswith(os.path.join(root, "")) for root in self.roots)
        return own and not any(filename.startswith(folder) for folder in self.libraries)


def library_folders() -> list[str]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [
        os.path.join(path, "") for path in {*paths, *site.getsitepackages(), os.path.dirname(os.__file__)}
    ]


def names(package: str, filename: str) -> bool:
    """Whether the file belongs to the package or module, or is in the folder, that an option names."""
    if os.sep in package or os.path.exists(package):
        path = os.path.abspath(package)
        return filename == path or filename.startswith(os.path.join(path, ""))
    path = package.replace(".", os.sep)
    return f"{os.sep}{path}{os.sep}" in filename or filename.endswith(f"{os.sep}{path}.py")


class Module(SourceFileLoader):
    """A module's code, from its cache if that is up to date, as an import would have it; writes no cache."""

    def set_data(self, path: object, data: object, *, _mode: int = 0) -> None:
        pass


class Session:
    """Watches the program between start() and stop(); findings() then says what it found.

    One session runs at a time. start() may be called while threads run; what they did before is not judged.
    """

    running: Session | None = None
    hooked: set[str] = set()  # noqa: RUF012 - what is hooked for good, by any session

    def __init__(
        self,
        scope: Scope,
        *,
        history: int = HISTORY,
        sample: bool = False,
        seed: int = 0,
        variables: int = VARIABLES,
    ) -> None:
        """Keep `history` calls of each stack; with `sample`, look at some of the accesses only.

        No more than so many variables are remembered.
        """
        self.scope = scope
        self.history = history
        self.on_race: Callable[[], object] | None = None  # called amid the program when there is news
        self.variables = variables
        self.sampler = Sampler(monitoring.restart_events, seed) if sample and monitoring else None
        self.patches = patch.Patches()
        self.started: dict[int, Started] = {}
        self.tokens: dict[Any, int] = {}  # a thread's handle -> the detector's thread
        self.stored: dict[str, Stored] = {}
        self.made: dict[int, int] = {}  # how many objects a constructor has made, by its code's id
        self.armed = False
        self.refused: SelfTestError | None = None
        self.watching = False  # armed, and ready for what starts
        self.races_before = 0

    def start(self) -> None:
        check_interpreter()
        if Session.running:
            raise UnsupportedError("the race detector is watching already; one session at a time, please")
        if monitoring.get_tool(TOOL) is not None:
            raise UnsupportedError(
                f"sys.monitoring's tool {TOOL} is taken by {monitoring.get_tool(TOOL)!r}; run without it"
            )
        Session.running = self
        self.races_before = len(_core.race_races())
        _core.race_configure_reports(self.history, self.on_race)
        monitoring.use_tool_id(TOOL, "threadproof race")
        self.watch_starts()
        self.patch_threads()
        patch_early(self.patches)
        if threading.active_count() > 1:
            self.arm()
            _core.race_fork()  # for the threads that are there: from now on this one is not alone

    def stop(self) -> None:
        """Judge nothing from now on; the standard library is as it was, but for hooks that do nothing."""
        if self.armed and self.sampler:
            self.sampler.stop()
        monitoring.set_events(TOOL, 0)
        monitoring.free_tool_id(TOOL)
        _core.race_configure_reports(HISTORY, None)
        if self.armed:
            _core.race_disarm()
        self.patches.restore()
        Session.running = None

    def findings(self, strict: bool = False, since: int = 0) -> list[Finding]:
        """What was found so far but for the first `since` races, the worst first."""
        return explain(_core.race_races()[self.races_before + since :], self.started, strict)

    def races(self) -> int:
        """How many races there were; several may have one cause, and so be one finding."""
        return len(_core.race_races()) - self.races_before

    def watched_files(self) -> list[str]:
        """The source files whose code has run before our eyes."""
        return list(self.stored)

    # --- threads ---

    def patch_threads(self) -> None:
        self.patches.replace(threading, "_start_joinable_thread", self.starter)
        self.patches.replace(_thread, "start_new_thread", self.bare_starter)
        self.patches.around(threading.Thread, "join", joining)
        self.patches.around(threading.Thread, "is_alive", looking)

    def fork(self, name: str) -> int:
        """The detector's thread for one about to be started; the first one arms it."""
        if not self.armed:
            self.arm()
        if self.sampler:
            self.sampler.meet()
        token, number = _core.race_fork()
        self.started[number] = Started(name, _core.race_thread_id(), _core.race_capture())
        return token

    def starter(self, original: Any) -> Any:
        def start(function: Any, handle: Any = None, daemon: bool = True) -> Any:
            thread = getattr(function, "__self__", None)
            token = self.fork(getattr(thread, "name", "a thread"))
            self.tokens[handle] = token
            return original(_core.race_in_thread(token, function), handle=handle, daemon=daemon)

        return start

    def bare_starter(self, original: Any) -> Any:
        def start(function: Any, args: Any, kwargs: Any = None) -> Any:
            token = self.fork(getattr(function, "__name__", "a thread"))
            return original(_core.race_in_thread(token, function), args, kwargs or {})

        return start

    def note_end(self, thread: Any) -> None:
        handle = thread._os_thread_handle
        if handle.is_done() and handle in self.tokens:
            _core.race_join(self.tokens[handle])

    def note_ends(self) -> None:
        """The calling thread has waited for all threads that are no daemons."""
        for handle in list(self.tokens):
            if handle.is_done():
                _core.race_join(self.tokens[handle])

    # --- code ---

    def watch_starts(self) -> None:
        """Hear of the start of every function, once; of a constructor, as often as we note what it makes."""
        once("deaths", configure)
        events = monitoring.events
        for event in (
            events.PY_START,
            events.PY_RESUME,
        ):  # a coroutine may have been started before, and wait
            monitoring.register_callback(TOOL, event, _core.race_undisturbed(self.on_start))
        monitoring.register_callback(TOOL, events.PY_RETURN, _core.race_undisturbed(self.on_return))
        monitoring.set_events(TOOL, events.PY_START | events.PY_RESUME)

    def arm(self) -> None:
        """Begin to watch; SelfTestError as it says."""
        self.armed = True
        self.prepare()
        patch_late(self.patches)
        self.started.setdefault(_core.race_thread_id(), Started(threading.current_thread().name, 0, 0))
        self.made.clear()
        self.watching = True
        monitoring.restart_events()  # what has started before is seen when it starts again
        for frame in sys._current_frames().values():
            self.watch_callers(frame)
        if self.sampler:
            self.sampler.start()

    def prepare(self) -> None:
        """Hook what is hooked once for the process, then make sure that we read frames rightly."""
        once("methods", patch.hook_methods)
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, _core.race_instruction)
        _core.race_limit(self.variables)
        _core.race_arm(threading.local)
        try:
            self_test(watch_instructions)
        except SelfTestError as error:
            self.refused = error  # the program may catch it, or die of it in a thread: its runner looks here
            raise

    def watch_callers(self, frame: FrameType | None) -> None:
        """The functions that are running were entered before we could see it."""
        while frame is not None:
            self.see(frame.f_code, frame.f_globals)
            frame = frame.f_back

    def on_start(self, code: CodeType, offset: int) -> object:
        """Called once for each code object, before it first runs or goes on."""
        frame = sys._getframe(1)
        with patch.quiet():
            if self.watching and id(code) not in self.made:
                self.see(code, frame.f_globals)
            again = code.co_name == "__init__" and code.co_filename in self.scope and self.note_made(frame)
        return None if again else monitoring.DISABLE

    def note_made(self, frame: FrameType) -> bool:
        """A constructor of the program's starts: note who calls it; False when that was often enough."""
        code = frame.f_code
        self.made[id(code)] = self.made.get(id(code), 0) + 1
        if code.co_argcount:
            _core.race_made(frame.f_locals[code.co_varnames[0]])
        return self.made[id(code)] < MADE

    def see(self, code: CodeType, module: dict[str, Any]) -> None:
        if code.co_filename in self.scope:
            main, package = module.get("__name__") == "__main__", module.get("__package__") or ""
            if not _core.race_registered(code):
                _core.race_register(code, sites_of(code, self.stored_in(code), main, package), False)
            watch_instructions(code)
            if code.co_name == "<module>":
                events = monitoring.events
                monitoring.set_local_events(TOOL, code, events.INSTRUCTION | events.PY_RETURN)
        elif code.co_filename.startswith(patch.MUTED):
            _core.race_register(code, [], True)

    def on_return(self, code: CodeType, offset: int, value: object) -> object:
        """Called when a module has run to its end."""
        _core.race_ran_module(sys._getframe(1).f_globals.get("__name__"))
        return monitoring.DISABLE

    def stored_in(self, code: CodeType) -> Stored:
        """What the whole source file stores again; where it cannot be read, what this code does."""
        filename = code.co_filename
        if filename not in self.stored:
            try:
                module = Module("", filename).get_code("")
                self.stored[filename] = stored_names(module) if module else NOWHERE
            except (OSError, ImportError, SyntaxError, ValueError):
                self.stored[filename] = NOWHERE
        return self.stored[filename] | stored_names(code)

    def know(self, code: CodeType) -> None:
        """The whole of a program that stands in no file."""
        self.stored[code.co_filename] = stored_names(code)


def joining(thread: Any, timeout: float | None = None) -> Generator[None, Any]:
    yield
    if Session.running:
        Session.running.note_end(thread)


def looking(thread: Any) -> Generator[None, bool]:
    alive = yield
    if Session.running and not alive:
        Session.running.note_end(thread)


def once(what: str, hook: Callable[[], None]) -> None:
    """Hook something for good, if no session has."""
    if what not in Session.hooked:
        Session.hooked.add(what)
        hook()


def configure() -> None:
    """Tell the front end what it compares with, and hear of the deaths of all that it may note."""
    builtins = {function: int(trait) for function, trait in READERS.items()}
    plain, restart = type("Plain", (), {})(), monitoring.restart_events
    _core.race_configure(monitoring.DISABLE, restart, plain, patch.INDEXED, patch.ITERATORS, builtins)
    patch.hook_deaths()


def watch_instructions(code: CodeType) -> None:
    monitoring.set_local_events(TOOL, code, monitoring.events.INSTRUCTION)


def check_interpreter() -> None:
    if not hasattr(_core, "race_arm"):
        version = ".".join(map(str, sys.version_info[:3]))
        raise UnsupportedError(
            "the race detector reads the frames of CPython 3.14 and 3.15, "
            f"and this is {version}; run it with python3.14t"
        )
