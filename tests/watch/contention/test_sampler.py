"""What no function shows: waits for the interpreter's locks of objects, and contended reference counts."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.watch.contention import Profile, Report, profile
from threadproof.watch.contention.report import Contended

if not hasattr(_core, "contention") or getattr(sys, "_is_gil_enabled", lambda: True)():
    pytest.skip("with a GIL there are no such waits", allow_module_level=True)


STARVED = 60.0  # seconds: with two cores, each test takes a few


class Box:
    pass


class Shelf:
    """An attribute, not a global, is shared: CPython 3.15 changes no count for a global read often."""

    def __init__(self) -> None:
        self.shared = Box()

    def use(self) -> None:
        mine = Box()
        for _ in range(5000):
            _ = self.shared
            _ = mine
            _ = self.shared


@functools.lru_cache(maxsize=16)
def cached(number: int) -> int:
    return number


values = [(number * 7919) % 100_003 for number in range(100_000)]


@contextmanager
def running(*functions: Callable[[], object]) -> Iterator[Profile]:
    """Threads that call these functions again and again while they are profiled."""
    over = threading.Event()

    def run(function: Callable[[], object]) -> None:
        while not over.is_set():
            function()

    threads = [
        threading.Thread(target=run, args=(function,), name=function.__name__) for function in functions
    ]
    with profile() as recorded:
        for thread in threads:
            thread.start()
        try:
            yield recorded
        finally:
            over.set()
            for thread in threads:
                thread.join()


def until(holds: Callable[[], object]) -> None:
    """Return when it holds. Between its looks the program has the cores: what runs at once is sampled."""
    pause, begin, used = threading.Event(), time.monotonic(), time.process_time()
    while not holds():
        seconds = time.monotonic() - begin
        assert seconds < PATIENCE, "the test has hung"
        if seconds > STARVED and time.process_time() - used < 1.2 * seconds:
            pytest.skip("the machine is too busy: no two threads of the program run at once")
        pause.wait(0.05)


def sampled(report: Report, title: str) -> list[Contended]:
    return [each for each in report.contended if each.sampled and each.title == title]


def sort() -> None:
    values.sort()
    values.reverse()


def append() -> None:
    for _ in range(100):
        values.append(1)
        values.pop()


def call_cached() -> None:
    for _ in range(1000):
        cached(1)


def test_a_list_that_is_being_sorted_is_named_with_both_lines() -> None:
    def holders(each: Contended) -> set[str]:
        return {path.holder_place.function for path in each.paths if path.holder_place}

    with running(sort, append) as recorded:
        until(
            lambda: [
                1 for each in sampled(recorded.report(), "lock of list values") if "sort" in holders(each)
            ]
        )
    (found,) = sampled(recorded.report(), "lock of list values")
    assert "append" in {path.waiter.function for path in found.paths if path.waiter}


def test_an_lru_cache_that_serialises_its_callers_is_named() -> None:
    with running(call_cached, call_cached, call_cached) as recorded:
        until(lambda: sampled(recorded.report(), "lock of lru_cache cached"))
    (found,) = sampled(recorded.report(), "lock of lru_cache cached")
    assert {path.waiter.function for path in found.paths if path.waiter} == {"call_cached"}


def test_one_object_of_several_threads_is_named_and_their_own_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sample is enough: on a busy machine it takes long until the threads and the sampler run at once."""
    monkeypatch.setattr("threadproof.watch.contention.record.FEWEST", 1)
    shelf = Shelf()
    with running(shelf.use, shelf.use) as recorded:
        until(lambda: "self.shared" in [each.name for each in recorded.report().changing])
    names = {each.name: each for each in recorded.report().changing}
    assert names["self.shared"].kind == "Box"
    assert "mine" not in names


def test_code_that_is_freed_while_its_frames_are_read_harms_nothing() -> None:
    """Threads make functions, run them at a contended list, and drop them; the names are those of such."""
    lines = ["def short_lived_{}(values):", " for _ in range(50):", "  values.append(1)", "  values.pop()"]
    source = "\n".join(lines)
    numbers = iter(range(1 << 62))

    def run_new_code() -> None:
        number = next(numbers)
        made: dict[str, Callable[[list[int]], None]] = {}
        exec(compile(source.format(number), f"<short-lived {number}>", "exec"), made)
        made[f"short_lived_{number}"](values)
        if number % 50 == 0:
            gc.collect()

    with running(sort, run_new_code, run_new_code) as recorded:
        until(lambda: any(names_of_short_lived(recorded.report())))
    _core.contention.check()
    for function, file in names_of_short_lived(recorded.report()):
        assert function.removeprefix("short_lived_") == file.removeprefix("<short-lived ").removesuffix(">")


def names_of_short_lived(report: Report) -> list[tuple[str, str]]:
    return [
        (place.function, place.file)
        for each in report.contended
        if each.sampled
        for path in each.paths
        for place in path.stack
        if place.function.startswith("short_lived_")
    ]
