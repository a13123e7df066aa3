"""Attributes, globals and captured variables."""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from tests.race.schedule import Box, Gate, reports, run

total = 0
instance: object = None
latest = 0


class Counter:
    shared = 0

    def __init__(self) -> None:
        self.n = 0
        self.lock = threading.Lock()

    def bump(self) -> None:
        self.n += 1

    def bump_in_two_lines(self) -> None:
        old = self.n
        self.n = old + 1

    def bump_locked(self) -> None:
        for _ in range(20):
            with self.lock:
                self.n += 1


class Slotted:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0

    def bump(self) -> None:
        self.n += 1


@reports("lost-update")
def race_attribute_counter() -> None:
    counter = Counter()
    run(counter.bump, counter.bump)


@reports("lost-update")
def race_attribute_counter_in_two_lines() -> None:
    counter = Counter()
    run(counter.bump_in_two_lines, counter.bump_in_two_lines)


def no_race_attribute_counter_locked() -> None:
    counter = Counter()
    run(counter.bump_locked, counter.bump_locked)
    assert counter.n == 40


@reports("lost-update")
def race_slot_counter() -> None:
    counter = Slotted()
    run(counter.bump, counter.bump)


@reports("lost-update")
def race_class_attribute_counter() -> None:
    def bump() -> None:
        Counter.shared += 1

    run(bump, bump)


@reports("lost-update")
def race_global_counter() -> None:
    def bump() -> None:
        global total
        total += 1

    run(bump, bump)


@reports("lost-update")
def race_global_counter_by_its_dict() -> None:
    def bump() -> None:
        globals()["total"] += 1

    def bump_by_name() -> None:
        global total
        total += 1

    run(bump, bump_by_name)


@reports("lost-update")
def race_captured_counter() -> None:
    n = 0

    def bump() -> None:
        nonlocal n
        n += 1

    run(bump, bump)


def no_race_captured_counter_per_thread() -> None:
    def counter() -> Callable[[], None]:
        n = 0

        def bump() -> None:
            nonlocal n
            for _ in range(5):
                n += 1

        return bump

    run(counter(), counter())


@reports("lost-update")
def race_module_attribute() -> None:
    module: Any = types.ModuleType("settings")
    module.v = 0

    def bump() -> None:
        module.v = module.v + 1

    run(bump, bump)


@reports("lost-update")
def race_setattr() -> None:
    box = Box(v=0)

    def bump() -> None:
        box.v = box.v + 1

    def reset() -> None:
        setattr(box, "v", 5)  # noqa: B010

    run(bump, reset)


@reports("lost-update")
def race_attribute_by_the_dict_of_its_object() -> None:
    box = Box(v=0)  # made from its dict, so the dict is there

    def bump() -> None:
        box.__dict__["v"] += 1

    def bump_by_name() -> None:
        box.v += 1

    run(bump, bump_by_name)


@reports("lost-update", "unordered-writes")
def race_swap_of_two_attributes() -> None:
    box = Box(x=1, y=2)

    def swap() -> None:
        box.x, box.y = box.y, box.x  # type: ignore[attr-defined]

    run(swap, swap)


@reports("unordered-writes")
def race_two_stores() -> None:
    box = Box(v=0)

    def one() -> None:
        box.v = 1

    def two() -> None:
        box.v = 2

    run(one, two)


@reports("unordered-writes")
def race_two_stores_to_a_global() -> None:
    def one() -> None:
        global latest
        latest = 1

    def two() -> None:
        global latest
        latest = 2

    run(one, two)


@reports("check-then-act", "lost-update")
def race_lazy_attribute() -> None:
    class Service:
        made: Service | None = None

        @classmethod
        def get(cls) -> Service:
            if cls.made is None:
                cls.made = cls()
            return cls.made

    run(Service.get, Service.get)


@reports("check-then-act", "lost-update")
def race_lazy_global() -> None:
    def get() -> object:
        global instance
        if instance is None:
            instance = object()
        return instance

    run(get, get)


@reports("read-during-update", "lost-update", "check-then-act")
def race_lazy_attribute_by_its_absence() -> None:
    box = Box()

    def get() -> object:
        try:
            return box.v
        except AttributeError:
            box.v = object()
            return box.v

    run(get, get)


def no_race_lazy_attribute_locked() -> None:
    lock, box = threading.Lock(), Box(v=None)

    def get() -> object:
        with lock:
            if box.v is None:
                box.v = Box()
            return box.v

    run(get, get)


def no_race_lazy_property_locked() -> None:
    class Service:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.made: int | None = None

        @property
        def value(self) -> int:
            with self.lock:
                if self.made is None:
                    self.made = 3
                return self.made

    service = Service()
    run(lambda: service.value, lambda: service.value)


@reports("unordered-read")
def race_publication_without_a_lock() -> None:
    shared = Box(v=None)

    def produce() -> None:
        made = Box()
        made.n = 1
        shared.v = made

    def consume() -> None:
        found = shared.v
        if found is not None:
            assert found.n == 1

    run(produce, consume)


@reports("unordered-read")
def race_flag() -> None:
    box = Box(stop=False, seen=0)

    def work() -> None:
        for _ in range(1000):
            if box.stop:  # type: ignore[attr-defined]
                break

    def stop() -> None:
        box.stop = True  # type: ignore[attr-defined]

    run(work, stop)


@reports("lost-update")
def race_state_shared_by_two_generators() -> None:
    box = Box(n=0)

    def count() -> Iterator[int]:
        for _ in range(3):
            box.n += 1
            yield box.n

    run(lambda: list(count()), lambda: list(count()))


def no_race_different_attributes() -> None:
    box = Box(x=0, y=0)

    def bump_x() -> None:
        box.x += 1  # type: ignore[attr-defined]

    def bump_y() -> None:
        box.y += 1  # type: ignore[attr-defined]

    run(bump_x, bump_y)


def no_race_objects_of_one_thread() -> None:
    def work() -> None:
        for _ in range(20):
            box = Box(n=0)
            box.n += 1
            boxes = [box]
            table = {"box": boxes}
            table["box"][0].n += 1

    run(work, work)


def no_race_addresses_used_again() -> None:
    def work() -> None:
        for i in range(300):
            box = Box()
            box.v = i
            numbers = [i]
            numbers[0] += 1
            table = {}
            table["k"] = numbers
            del box, numbers, table

    for _ in range(3):
        run(work, work)


def no_race_finaliser_after_the_last_thread() -> None:
    class Resource:
        def __init__(self) -> None:
            self.uses = 1

        def __del__(self) -> None:
            self.uses += 1

    held = [Resource()]

    def use() -> None:
        held[0].uses += 1

    run(use)
    del held[0]


def no_race_reading() -> None:
    table, box = {"a": 1}, Box(v=[1, 2])

    def read() -> None:
        assert table["a"] == box.v[0] == len(table)
        assert "a" in table
        assert [x for x in box.v] == [1, 2]  # noqa: C416

    run(read, read)


def no_race_thread_local() -> None:
    local = threading.local()

    def work() -> None:
        local.n = 0
        for _ in range(5):
            local.n += 1

    run(work, work)


def no_race_lru_cache() -> None:
    @functools.cache
    def cached(x: int) -> int:
        return x + 1

    run(lambda: [cached(i) for i in range(10)], lambda: [cached(i) for i in range(10)])


@reports("read-during-update")
def race_class_attribute_read_through_an_instance() -> None:
    class Page:
        visits = 0

        def visit(self) -> None:
            type(self).visits = self.visits + 1

    page = Page()
    run(page.visit, lambda: page.visits)


def no_race_what_a_subclass_of_thread_stores() -> None:
    class Worker(threading.Thread):
        result: int | None = None

        def run(self) -> None:
            self.result = 1

    worker = Worker()
    worker.start()
    worker.join()
    assert worker.result == 1


class Cached:
    """A cached property: what it makes goes into the object's own dict, and is found there from then on."""

    def __get__(self, owner: Any, kind: type) -> int:
        owner.__dict__["cached"] = 3
        return 3


class Cache:
    cached = Cached()


def missed_race_look_at_what_a_cached_property_has_made() -> None:
    cache, made = Cache(), Gate()

    def make() -> None:
        assert cache.cached == 3
        made.open()

    def look() -> None:
        made.wait()
        assert cache.cached == 3

    run(make, look)
    made.close()
