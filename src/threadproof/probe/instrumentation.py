"""Which code objects are instrumented: those in the scopes of all watches, from their next start on.

sys.monitoring calls on_start() when a function starts for the first time, and `_core.probe.instruction`
before each instrumented instruction.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import CodeType, FrameType
from typing import Any

from threadproof import _core
from threadproof.probe.instrument import Stored, sites_of, stored_names
from threadproof.probe.scope import Scope
from threadproof.probe.selftest import self_test

monitoring: Any = getattr(sys, "monitoring", None)  # new in 3.12
# sys.monitoring's tool ids, those first that it reserves for no kind of tool.
TOOLS = (4, 3, 5, 2, 1, 0)
ALLOCATIONS = 1000  # of each constructor: more are seldom in one report, and cost
NOTHING = Stored(frozenset(), frozenset())


class UnsupportedError(RuntimeError):
    """The probe cannot work with this interpreter, or beside the other tools that watch it."""


class Module(SourceFileLoader):
    """A module's code, from its cache if that is up to date, as an import has it; writes no cache."""

    def set_data(self, path: object, data: object, *, _mode: int = 0) -> None:
        pass


class Instrumentation:
    """The one instance of the process; active from add() of the first scope to remove() of the last one."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.tool = -1
        self.stored: dict[str, Stored] = {}  # for each source file whose code has started
        self.allocations: dict[int, int] = {}  # objects that a constructor has made, by its code's id
        self.thorough: list[Scope] = []  # scopes in which every access is wanted
        self.complete: set[int] = set()  # code whose every access is a site, by id
        self.armed = False
        self.functions: set[tuple[str, int, str]] = set()  # that are instrumented: file, line and name
        self.others: set[str] = set()  # files that are in no scope, whose code has started since it is armed
        self.in_callback = False
        self.when_foreign: Callable[[], None] = lambda: None  # called in a thread that C code has started

    def add(self, scope: Scope, every_access: bool = False) -> None:
        """Publish the allocation of objects of classes in the scope. UnsupportedError if no tool is free."""
        if not self.scopes:
            self.begin()
        self.scopes.append(scope)
        if every_access:
            self.thorough.append(scope)

    def remove(self, scope: Scope, every_access: bool = False) -> None:
        self.scopes.remove(scope)
        if every_access:
            self.thorough.remove(scope)
        if not self.scopes:
            self.armed = False
            monitoring.set_events(self.tool, 0)
            monitoring.free_tool_id(self.tool)

    def begin(self) -> None:
        self.tool = free_tool()
        monitoring.use_tool_id(self.tool, "threadproof")
        self.stored, self.allocations = {}, {}
        self.functions, self.others = set(), set()
        _core.probe.thread_number()  # this thread is no news
        events = monitoring.events
        self.register(events.INSTRUCTION, _core.probe.instruction)
        self.register(events.PY_RETURN, _core.probe.module_returned)
        # a coroutine may have started before, and be waiting
        self.register(events.PY_START | events.PY_RESUME, _core.probe.undisturbed(self.on_start))
        monitoring.set_events(self.tool, events.PY_START | events.PY_RESUME)

    def register(self, events: int, callback: Callable[..., object]) -> None:
        """For each of the events, a bit each."""
        while events:
            event = events & -events
            monitoring.register_callback(self.tool, event, callback)
            events &= ~event

    def arm(self) -> None:
        """Publish accesses, too. SelfTestError if the frames of this interpreter cannot be read."""
        if not self.armed:
            # in a callback, this thread gets no events
            (in_thread if self.in_callback else call)(lambda: self_test(self.watch_instructions))
        self.allocations.clear()
        self.armed = True
        monitoring.restart_events()  # functions that have started before publish their next start
        for frame in sys._current_frames().values():
            self.see_callers(frame)

    def covers(self, filename: str) -> bool:
        return any(filename in scope for scope in self.scopes)

    def on_start(self, code: CodeType, offset: int) -> object:
        """Called before the first start or resumption of a code object; for a constructor, several times."""
        frame = sys._getframe(1)
        if self.covers(code.co_filename) and _core.probe.is_new_thread():
            self.in_callback = True
            try:
                self.when_foreign()
            finally:
                self.in_callback = False
        if self.armed and id(code) not in self.allocations:
            with suspended():
                self.see(code, frame.f_globals)
        again = code.co_name == "__init__" and self.covers(code.co_filename) and self.note_allocation(frame)
        return None if again else monitoring.DISABLE

    def note_allocation(self, frame: FrameType) -> bool:
        """A constructor of the program starts: whether its next start is to be noted, too."""
        code = frame.f_code
        count = self.allocations.get(id(code), 0) + 1
        self.allocations[id(code)] = count  # lint: ignore[CM103] a lost count notes one object more
        if code.co_argcount:
            _core.probe.allocated(frame.f_locals[code.co_varnames[0]])
        return count < ALLOCATIONS

    def see_callers(self, frame: FrameType | None) -> None:
        """The functions that are running started before on_start() was called for them."""
        while frame is not None:
            self.see(frame.f_code, frame.f_globals)
            frame = frame.f_back

    def see(self, code: CodeType, module: dict[str, Any]) -> None:
        if not self.covers(code.co_filename):
            self.others.add(code.co_filename)
            return
        main, package = module.get("__name__") == "__main__", module.get("__package__") or ""
        # other code without a file is made by a library, such as a dataclass's method
        if main or not code.co_filename.startswith("<"):
            self.functions.add((code.co_filename, code.co_firstlineno, code.co_qualname))
        every = bool(self.thorough)
        if not _core.probe.registered(code) or (every and id(code) not in self.complete):
            _core.probe.register(code, sites_of(code, self.stored_in(code), main, package, every), every)
            (self.complete.add if every else self.complete.discard)(id(code))
        self.watch_instructions(code)

    def watch_instructions(self, code: CodeType) -> None:
        events = monitoring.events.INSTRUCTION
        if code.co_name == "<module>":
            events |= monitoring.events.PY_RETURN
        try:
            monitoring.set_local_events(self.tool, code, events)
        except ValueError:  # the last scope has ended while this thread was in a callback: the tool is free
            if self.scopes:
                raise

    def stored_in(self, code: CodeType) -> Stored:
        """The names that the whole source file stores again; if it cannot be read, those of this code."""
        filename = code.co_filename
        if filename not in self.stored:
            try:
                module = Module("", filename).get_code("")
                self.stored[filename] = stored_names(module) if module else NOTHING
            except (OSError, ImportError, SyntaxError, ValueError):
                self.stored[filename] = NOTHING
        return self.stored[filename] | stored_names(code)

    def know(self, code: CodeType) -> None:
        """The code of a whole program that is not in a file."""
        self.stored[code.co_filename] = stored_names(code)


def call(function: Callable[[], None]) -> None:
    function()


def in_thread(function: Callable[[], None]) -> None:
    """Call it in a thread that the program does not see, wait for it, and raise what it has raised."""
    raised: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        with suspended():
            try:
                function()
            except BaseException as error:
                raised.append(error)
            done.release()

    with suspended():
        _thread.start_new_thread(run, ())
        done.acquire()
    for error in raised:
        raise error


class suspended:  # noqa: N801 - it is used as a function is
    """This thread publishes nothing in the block."""

    def __enter__(self) -> None:
        _core.probe.suspend(1)

    def __exit__(self, *error: object) -> None:
        _core.probe.suspend(-1)


def free_tool() -> int:
    for tool in TOOLS:
        if monitoring.get_tool(tool) is None:
            return tool
    tools = ", ".join(sorted({repr(monitoring.get_tool(tool)) for tool in TOOLS}))
    raise UnsupportedError(f"all of sys.monitoring's tool ids are taken ({tools}); run without one of them")


instrumentation = Instrumentation()
