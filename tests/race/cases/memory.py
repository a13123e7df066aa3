"""One load and one store, through every construct that can contain one.

One file of more than 600 lines: a list of constructs, with a case of some lines for each.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.race.schedule import Box, Gate, reports, run

flag = 0
settings: Any = types.ModuleType("settings")


def store(box: Box) -> Callable[[], None]:
    def act() -> None:
        box.v = 1

    return act


@reports("unordered-read")
def race_argument_of_a_call() -> None:
    box = Box(v=0)
    run(lambda: abs(box.v), store(box))


@reports("unordered-read")
def race_default_argument() -> None:
    box = Box(v=0)

    def define() -> object:
        def inner(v: object = box.v) -> object:
            return v

        return inner()

    run(define, store(box))


@reports("unordered-read")
def race_condition_of_a_conditional_expression() -> None:
    box = Box(v=0)
    run(lambda: "a" if box.v else "b", store(box))


@reports("unordered-read")
def race_chained_comparison() -> None:
    box = Box(v=0)
    run(lambda: -1 < box.v < 2, store(box))


@reports("unordered-read")
def race_formatted_string() -> None:
    box = Box(v=0)
    run(lambda: f"{box.v!r:>3}", store(box))


@reports("unordered-read")
def race_return_value() -> None:
    box = Box(v=0)
    run(lambda: box.v, store(box))


@reports("unordered-read")
def race_yielded_value() -> None:
    box = Box(v=0)

    def values() -> Iterator[object]:
        yield box.v

    run(lambda: list(values()), store(box))


@reports("unordered-read")
def race_raised_exception() -> None:
    box = Box(v=ValueError())

    def fail() -> None:
        try:
            raise box.v
        except ValueError:
            pass

    run(fail, lambda: setattr(box, "v", ValueError()))


@reports("unordered-read")
def race_matched_subject() -> None:
    box = Box(v=0)

    def match() -> str:
        match box.v:
            case 0:
                return "zero"
            case _:
                return "other"

    run(match, store(box))


@reports("unordered-read")
def race_walrus_in_a_condition() -> None:
    box = Box(v=0)
    run(lambda: (v := box.v) and v, store(box))


@reports("unordered-writes")
def race_target_of_a_loop() -> None:
    box = Box(v=0)

    def loop() -> None:
        for box.v in range(3):
            pass

    run(loop, store(box))


@reports("unordered-writes")
def race_target_of_with() -> None:
    box = Box(v=0)

    @contextmanager
    def five() -> Iterator[int]:
        yield 5

    def enter() -> None:
        with five() as box.v:
            pass

    run(enter, store(box))


@reports("unordered-writes")
def race_target_of_unpacking() -> None:
    box = Box(v=0)

    def unpack() -> None:
        _, box.v = 1, 2

    run(unpack, store(box))


@reports("unordered-writes", "lost-update")
def race_deletion_of_an_attribute() -> None:
    box = Box(v=0)

    def delete() -> None:
        del box.v

    run(store(box), delete)


@reports("lost-update")
def race_each_operator_in_place() -> None:
    for change in (operator.iadd, operator.ior, operator.imul):
        box = Box(v=1)

        def act(change: Callable[[int, int], int] = change, box: Box = box) -> None:
            box.v = change(box.v, 3)

        run(act, act)


@reports("lost-update")
def race_attribute_of_an_attribute() -> None:
    outer = Box(v=Box(v=Box(n=0)))

    def bump() -> None:
        outer.v.v.n += 1

    run(bump, bump)


def no_race_same_name_in_other_objects() -> None:
    outer = [Box(v=Box(n=0)), Box(v=Box(n=0))]

    def bump(place: int) -> None:
        outer[place].v.n += 1

    run(lambda: bump(0), lambda: bump(1))


@reports("lost-update")
def race_dataclass_field() -> None:
    @dataclass
    class Point:
        x: int = 0

    point = Point()

    def move() -> None:
        point.x += 1

    run(move, move)


@reports("lost-update")
def race_dataclass_slot() -> None:
    @dataclass(slots=True)
    class Point:
        x: int = 0

    point = Point()

    def move() -> None:
        point.x += 1

    run(move, move)


@reports("lost-update")
def race_behind_a_property() -> None:
    class Celsius:
        def __init__(self) -> None:
            self._degrees = 0

        @property
        def degrees(self) -> int:
            return self._degrees

        @degrees.setter
        def degrees(self, value: int) -> None:
            self._degrees = value

    sensor = Celsius()

    def warm() -> None:
        sensor.degrees += 1

    run(warm, warm)


@reports("lost-update")
def race_behind_getattr_of_a_class() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.__dict__["values"] = {"n": 0}

        def __getattr__(self, name: str) -> int:
            return int(self.__dict__["values"][name])

        def __setattr__(self, name: str, value: int) -> None:
            self.__dict__["values"][name] = value

    lazy: Any = Lazy()

    def bump() -> None:
        lazy.n += 1

    run(bump, bump)


@reports("lost-update")
def race_vars_of_an_object() -> None:
    class Plain:
        def __init__(self) -> None:
            self.n = 0

    plain = Plain()

    def bump() -> None:
        vars(plain)["n"] += 1

    def bump_by_name() -> None:
        plain.n += 1

    run(bump, bump_by_name)


@reports("lost-update")
def race_dict_of_an_object_asked_for_late() -> None:
    class Plain:
        def __init__(self) -> None:
            self.n = 0

    plain, bumped = Plain(), Gate()

    def bump_by_name() -> None:
        plain.n += 1
        bumped.open()

    def bump() -> None:
        bumped.wait()
        plain.__dict__["n"] += 1

    run(bump_by_name, bump)
    bumped.close()


@reports("lost-update")
def race_dict_that_objects_share() -> None:
    class Borg:
        shared: dict[str, int] = {"n": 0}  # noqa: RUF012
        n: int

        def __init__(self) -> None:
            self.__dict__ = self.shared

    def bump() -> None:
        Borg().n += 1

    run(bump, bump)


@reports("changed-during-iteration")
def race_attributes_listed_while_one_is_added() -> None:
    box = Box(v=0)

    def look() -> None:
        for _ in list(map(str, vars(box).items())):
            pass

    def walk() -> None:
        names = vars(box)
        for _ in names:
            break

    def add() -> None:
        assert vars(box)
        box.n = 1

    run(walk, add)
    run(look)


@reports("lost-update", "read-during-update")
def race_class_attribute_through_an_instance() -> None:
    class Page:
        visits = 0

        def visit(self) -> None:
            type(self).visits = self.visits + 1

    page = Page()
    run(page.visit, page.visit)


@reports("lost-update")
def race_class_attribute_through_a_subclass() -> None:
    class Base:
        made = 0

    class Derived(Base):
        pass

    def make() -> None:
        Base.made = Derived.made + 1

    run(make, make)


def no_race_class_default_that_each_instance_overrides() -> None:
    class Page:
        visits = 0

        def visit(self) -> None:
            self.visits += 1

    run(lambda: Page().visit(), lambda: Page().visit())
    assert Page.visits == 0


def no_race_default_of_a_class_that_is_only_read() -> None:
    class Page:
        limit = 3

    page = Page()

    def raise_own() -> None:
        page.limit = 4

    run(lambda: Page().limit, lambda: Page.limit, raise_own)


@reports("unordered-read")
def race_method_replaced_on_its_class() -> None:
    class Greeter:
        greeting: Any = "hello"

    run(lambda: Greeter.greeting, lambda: setattr(Greeter, "greeting", "bye"))


@reports("lost-update")
def race_global_of_another_module() -> None:
    settings.count = 0

    def bump() -> None:
        settings.count += 1

    run(bump, bump)


@reports("unordered-read")
def race_global_stored_from_outside() -> None:
    from tests.race.cases.imported import late

    late.level = 0

    def raise_level() -> None:
        late.level = 1

    run(late.read_level, raise_level)


@reports("unordered-writes")
def race_global_statement() -> None:
    def on() -> None:
        global flag
        flag = 1

    def off() -> None:
        global flag
        flag = 0

    run(on, off)


@reports("unordered-read")
def race_variable_captured_and_stored_again_by_its_function() -> None:
    value, looked = 0, Gate()

    def look() -> None:
        assert value in (0, 1)
        looked.open()

    import threading

    thread = threading.Thread(target=look)
    thread.start()
    value = 1
    thread.join()
    looked.close()


@reports("unordered-read")
def race_variable_of_a_loop() -> None:
    import threading

    threads = []
    for i in range(3):
        threads.append(threading.Thread(target=lambda: i))  # noqa: B023
        threads[-1].start()
    for thread in threads:
        thread.join()


def no_race_variable_of_a_loop_given_as_an_argument() -> None:
    import threading

    threads = []
    for i in range(3):
        threads.append(threading.Thread(target=lambda i=i: i))
        threads[-1].start()
    for thread in threads:
        thread.join()


@reports("unordered-writes", "lost-update")
def race_error_variable_that_two_closures_share() -> None:
    error: object = None

    def work() -> None:
        nonlocal error
        error = ValueError()

    run(work, work)
    assert error


@reports("lost-update")
def race_counter_by_operator_attrgetter() -> None:
    """attrgetter() is C code, whose read is not seen; both threads' stores are seen."""
    box, get = Box(n=0), operator.attrgetter("n")

    def bump() -> None:
        box.n = get(box) + box.n

    run(bump, bump)


@reports("unordered-writes", "lost-update")
def race_setattr_and_delattr() -> None:
    box = Box(v=0)

    def put() -> None:
        setattr(box, "v", getattr(box, "v", 0) + 1)  # noqa: B010

    run(put, put)


@reports("check-then-act", "lost-update", "unordered-read")
def race_hasattr_then_setattr() -> None:
    box = Box()

    def once() -> None:
        if not hasattr(box, "v"):
            box.v = 1

    run(once, once)


@reports("lost-update")
def race_through_a_partial_of_a_bound_method() -> None:
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, by: int) -> None:
            self.n += by

    counter = Counter()
    run(functools.partial(counter.add, 1), functools.partial(counter.add, 2))


@reports("lost-update")
def race_in_a_decorated_function() -> None:
    calls = Box(n=0)

    def counted(function: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(function)
        def inner() -> int:
            calls.n += 1
            return function()

        return inner

    work = counted(lambda: 1)
    run(work, work)


@reports("lost-update")
def race_in_a_comprehension() -> None:
    box = Box(n=0)

    def bump() -> int:
        box.n += 1
        return 0

    run(lambda: [bump() for _ in range(2)], lambda: {bump() for _ in range(2)})


@reports("lost-update")
def race_between_loops_of_two_threads() -> None:
    box = Box(n=0)

    async def bump() -> None:
        box.n += 1
        await asyncio.sleep(0)
        box.n += 1

    run(lambda: asyncio.run(bump()), lambda: asyncio.run(bump()))


@reports("lost-update")
def race_in_executed_code() -> None:
    names: dict[str, Any] = {"n": 0, "__name__": "executed"}
    code = compile("def bump():\n    global n\n    n += 1\n", __file__, "exec")
    exec(code, names)
    run(names["bump"], names["bump"])


def no_race_locals_of_one_function() -> None:
    def work() -> int:
        total, parts = 0, []
        for i in range(5):
            total += i
            parts.append(total)
        return sum(parts)

    run(work, work)


def no_race_immutable_values() -> None:
    box = Box(v=(1, "two", 3.0, b"four", frozenset({5})))

    def read() -> None:
        one, two, *_ = box.v
        assert f"{one}{two}" == "1two"
        assert box.v[2] == 3.0
        assert 5 in box.v[4]

    run(read, read)


def no_race_arithmetic_on_locals() -> None:
    box = Box(v=7)

    def work() -> int:
        x = int(box.v)
        for _ in range(3):
            x += x * 2 - 1
        return x & 3 | 4

    run(work, work)


@reports("unordered-read")
def missed_race_read_by_attrgetter() -> None:
    box, get = Box(v=0), operator.attrgetter("v")
    run(lambda: get(box), store(box))
