"""Imports, finalisers, forks, and what ends with a thread."""

from __future__ import annotations

import contextvars
import gc
import importlib
import os
import sys
import threading
import weakref
from types import ModuleType

from tests.race.schedule import Box, Gate, reports, run
from threadproof import _core

SETTINGS = "tests.race.cases.imported.settings"


def forget_settings() -> None:
    sys.modules.pop(SETTINGS, None)
    vars(sys.modules["tests.race.cases.imported"]).pop("settings", None)


import tests.race.cases.imported  # noqa: E402, F401


def no_race_what_a_module_does_at_its_top() -> None:
    forget_settings()

    def use() -> None:
        from tests.race.cases.imported import settings

        assert settings.options["size"] == 3
        assert settings.box.v == 1

    run(use, use)


def no_race_names_imported_from_a_module() -> None:
    forget_settings()

    def use() -> None:
        from tests.race.cases.imported.settings import box, options

        assert options["size"] == 3
        assert box.v == 1

    run(use, use)


def no_race_dotted_import() -> None:
    forget_settings()

    def use() -> None:
        import tests.race.cases.imported.settings as settings

        assert settings.box.v == 1

    run(use, use)


def no_race_import_module() -> None:
    forget_settings()

    def use() -> None:
        assert importlib.import_module(SETTINGS).box.v == 1

    run(use, use)


@reports("unordered-read")
def race_module_that_is_not_imported_by_its_user() -> None:
    forget_settings()
    imported, shared = Gate(), Box()

    def load() -> None:
        import tests.race.cases.imported.settings  # noqa: F401

        shared.v = 1
        imported.open()

    def use() -> None:
        imported.wait()
        settings: ModuleType = sys.modules[SETTINGS]
        assert settings.options["size"] == 3

    run(load, use)
    imported.close()


@reports("lost-update")
def race_after_an_import() -> None:
    box = Box(n=0)

    def use() -> None:
        import tests.race.cases.imported.settings  # noqa: F401

        box.n += 1

    run(use, use)


# --- finalisers ---


class Resource:
    def __init__(self) -> None:
        self.uses = 0
        self.names: list[str] = []

    def use(self) -> None:
        self.uses += 1
        self.names.append("used")
        self.names[0] = "first"

    def __del__(self) -> None:
        self.uses += 1
        self.names[0] = "last"


def no_race_finaliser_in_another_thread() -> None:
    held, used = [Resource()], Gate()
    held[0].names.append("")

    def use() -> None:
        held[0].use()
        used.open()

    def drop() -> None:
        used.wait()
        held.clear()

    run(use, drop)
    used.close()


def no_race_finaliser_at_a_collection() -> None:
    class Node(Resource):
        def __init__(self) -> None:
            super().__init__()
            self.names.append("")
            self.me = self

    held, used = [Node()], Gate()

    def use() -> None:
        held[0].use()
        used.open()

    def drop() -> None:
        used.wait()
        held.clear()
        gc.collect()

    run(use, drop)
    used.close()


@reports("lost-update")
def race_finalisers_that_count() -> None:
    counts = Box(n=0)

    class Counted:
        def __del__(self) -> None:
            counts.n += 1

    def work() -> None:
        Counted()

    run(work, work)


@reports("lost-update", "read-during-update")
def race_finaliser_and_another_object() -> None:
    closed = [0]

    class File:
        def __del__(self) -> None:
            closed[0] += 1

    def work() -> None:
        File()

    run(work, lambda: closed[0])


def no_race_weakref_finalize() -> None:
    class Handle:
        def __init__(self, state: Box) -> None:
            self.state = state

        def use(self) -> None:
            self.state.n += 1

    def close(state: Box) -> None:
        state.n += 1

    def start() -> Handle:
        state = Box(n=0)
        handle = Handle(state)
        weakref.finalize(handle, close, state)
        return handle

    held, used = [start()], Gate()

    def use() -> None:
        held[0].use()
        used.open()

    def drop() -> None:
        used.wait()
        held.clear()

    run(use, drop)
    used.close()


@reports("lost-update")
def race_weakref_finalize_called_while_the_object_lives() -> None:
    class Handle:
        def __init__(self, state: Box) -> None:
            self.state = state

    state = Box(n=0)
    handle = Handle(state)

    def close() -> None:
        state.n += 1

    finalizer = weakref.finalize(handle, close)

    def use() -> None:
        handle.state.n += 1

    run(use, lambda: finalizer())


# --- forks ---


def in_child(act: object) -> int:
    """Run it in a child of a fork; return how many races that had, or 99 if it raised."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        before = len(_core.race.races(0))
        act()  # type: ignore[operator]
        code = len(_core.race.races(0)) - before
    finally:
        os._exit(code)


def no_race_child_of_a_fork() -> None:
    box, bumped, stop = Box(n=0), Gate(), Gate()

    def bump() -> None:
        box.n += 1
        bumped.open()
        stop.wait()

    thread = threading.Thread(target=bump)
    thread.start()
    bumped.wait()

    def go_on() -> None:
        box.n += 1
        run(lambda: box.n, lambda: box.n)

    assert in_child(go_on) == 0
    stop.open()
    thread.join()
    bumped.close()
    stop.close()


def no_race_fork_while_threads_are_busy() -> None:
    stop = threading.Event()

    def work() -> None:
        box, table = Box(n=0), dict[int, int]()
        while not stop.is_set():
            box.n += 1
            table[box.n % 100] = box.n

    def act() -> None:
        box = Box(n=0)
        run(lambda: setattr(box, "v", 1))
        assert box.v == 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert in_child(act) == 0
    stop.set()
    for thread in threads:
        thread.join()


def no_race_that_only_a_child_has_in_its_parent() -> None:
    box = Box(n=0)

    def bump() -> None:
        box.n += 1

    assert in_child(lambda: run(bump, bump)) > 0


# --- what belongs to one thread ---


def no_race_context_variable() -> None:
    current: contextvars.ContextVar[int] = contextvars.ContextVar("current", default=0)

    def work() -> None:
        for i in range(5):
            token = current.set(current.get() + i)
            current.reset(token)

    run(work, work)


def no_race_context_run_in_threads_of_their_own() -> None:
    current: contextvars.ContextVar[Box] = contextvars.ContextVar("current")

    def work() -> None:
        current.set(Box(n=0))
        current.get().n += 1

    run(lambda: contextvars.Context().run(work), lambda: contextvars.Context().run(work))


@reports("lost-update")
def race_object_in_a_context_that_both_threads_copy() -> None:
    current: contextvars.ContextVar[Box] = contextvars.ContextVar("current")
    current.set(Box(n=0))
    contexts = [contextvars.copy_context() for _ in range(2)]

    def bump() -> None:
        current.get().n += 1

    run(lambda: contexts[0].run(bump), lambda: contexts[1].run(bump))


def no_race_subclass_of_local() -> None:
    class State(threading.local):
        n = 0

        def __init__(self) -> None:
            self.items: list[int] = []

    state = State()

    def work() -> None:
        for i in range(5):
            state.n += 1
            state.items.append(i)
            state.items[0] = state.n
            state.__dict__["n"] += 1

    run(work, work)


@reports("lost-update")
def race_object_that_two_locals_share() -> None:
    local, shared = threading.local(), Box(n=0)

    def work() -> None:
        local.box = shared
        local.box.n += 1

    run(work, work)


def no_race_last_thread_of_a_chain() -> None:
    box = Box(n=0)

    def chain(depth: int) -> None:
        box.n += 1
        if depth:
            thread = threading.Thread(target=chain, args=(depth - 1,))
            thread.start()
            thread.join()
        box.n += 1

    run(lambda: chain(3))
    assert box.n == 8


@reports("lost-update")
def race_grandchild_that_nobody_joins() -> None:
    box, bumped = Box(n=0), Gate()
    late: list[threading.Thread] = []

    def bump() -> None:
        box.n += 1
        bumped.open()

    def start() -> None:
        late.append(threading.Thread(target=bump))
        late[0].start()

    run(start)
    bumped.wait()
    box.n += 1
    late[0].join()
    bumped.close()
