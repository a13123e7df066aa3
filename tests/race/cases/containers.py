"""Dicts, lists, sets and deques."""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable

from tests.race.schedule import reports, run


@reports("lost-update")
def race_dict_counter() -> None:
    counts = {"k": 0}

    def bump() -> None:
        counts["k"] += 1

    run(bump, bump)


@reports("check-then-act", "lost-update")
def race_dict_get_and_set() -> None:
    counts: dict[str, int] = {}

    def bump() -> None:
        counts["k"] = counts.get("k", 0) + 1

    run(bump, bump)


@reports("lost-update")
def race_defaultdict_counter() -> None:
    counts: dict[str, int] = collections.defaultdict(int)

    def bump() -> None:
        counts["k"] += 1

    run(bump, bump)


@reports("lost-update")
def race_dict_counter_by_partial() -> None:
    counts = {"n": 0}

    def bump(key: str) -> None:
        counts[key] = counts[key] + 1

    run(functools.partial(bump, "n"), functools.partial(bump, "n"))


@reports("check-then-act", "lost-update")
def race_dict_check_and_insert() -> None:
    cache: dict[str, object] = {}

    def get() -> object:
        if "k" not in cache:
            cache["k"] = object()
        return cache["k"]

    run(get, get)


@reports("check-then-act", "lost-update")
def race_dict_check_and_delete() -> None:
    table = {"k": 1}

    def remove() -> None:
        if "k" in table:
            with contextlib.suppress(KeyError):
                del table["k"]

    run(remove, remove)


@reports("check-then-act", "unordered-read")
def race_set_check_and_add() -> None:
    seen: set[str] = set()

    def visit() -> None:
        if "k" not in seen:
            seen.add("k")

    run(visit, visit)


@reports("changed-during-iteration")
def race_dict_iteration() -> None:
    table = dict.fromkeys(range(50))

    def iterate() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in table:
                pass

    def grow() -> None:
        for i in range(50, 60):
            table[i] = None

    run(iterate, grow)


@reports("changed-during-iteration")
def race_dict_items_iteration() -> None:
    table = dict.fromkeys(range(50))

    def iterate() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in table.items():
                pass

    run(iterate, lambda: table.pop(3))


@reports("changed-during-iteration")
def race_list_iteration_and_append() -> None:
    numbers = list(range(50))

    def iterate() -> None:
        for _ in numbers:
            pass

    run(iterate, lambda: numbers.append(1))


@reports("changed-during-iteration")
def race_list_iteration_and_remove() -> None:
    numbers = list(range(50))

    def iterate() -> None:
        for _ in numbers:
            pass

    run(iterate, lambda: numbers.remove(3))


@reports("changed-during-iteration")
def race_sum_and_append() -> None:
    numbers = list(range(50))
    run(lambda: sum(numbers), lambda: numbers.append(1))


@reports("changed-during-iteration")
def race_set_iteration() -> None:
    members = set(range(50))

    def iterate() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in members:
                pass

    run(iterate, lambda: members.add(99))


@reports("changed-during-iteration")
def race_deque_iteration() -> None:
    line = collections.deque(range(50))

    def iterate() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in line:
                pass

    run(iterate, lambda: line.append(99))


@reports("stale-size")
def race_list_length_and_pop() -> None:
    stack = [1]

    def take() -> None:
        if len(stack) > 0:
            with contextlib.suppress(IndexError):
                stack.pop()

    run(take, take)


@reports("lost-update")
def race_list_item_counter() -> None:
    counts = [0]

    def bump() -> None:
        counts[0] += 1

    run(bump, bump)


@reports("lost-update")
def race_nested_list_counter() -> None:
    grid = [[0] * 2 for _ in range(2)]

    def bump() -> None:
        grid[0][1] += 1

    run(bump, bump)


@reports("lost-update")
def race_list_item_from_both_ends() -> None:
    counts = [0, 0]

    def bump_last() -> None:
        counts[-1] += 1

    def bump_second() -> None:
        counts[1] += 1

    run(bump_last, bump_second)


@reports("lost-update")
def race_list_swap() -> None:
    numbers = [1, 2, 3]

    def swap() -> None:
        numbers[0], numbers[2] = numbers[2], numbers[0]

    run(swap, swap)


def no_race_append_only() -> None:
    numbers: list[int] = []

    def fill() -> None:
        for i in range(5):
            numbers.append(i)  # noqa: PERF402

    run(fill, fill)
    assert len(numbers) == 10


def no_race_iteration_over_a_copy() -> None:
    table = dict.fromkeys(range(20))

    def iterate() -> None:
        for _ in list(table):
            pass
        for _ in table.copy():
            pass

    def grow() -> None:
        table[99] = None

    run(iterate, grow)


def no_race_deque_as_a_queue() -> None:
    line: collections.deque[int] = collections.deque()

    def fill() -> None:
        for i in range(5):
            line.append(i)

    def drain() -> None:
        for _ in range(5):
            with contextlib.suppress(IndexError):
                line.popleft()

    run(fill, drain)


def no_race_different_items() -> None:
    counts = [0, 0]

    def counter(place: int) -> Callable[[], None]:
        def bump() -> None:
            for _ in range(5):
                counts[place] += 1

        return bump

    run(counter(0), counter(1))


def no_race_different_keys() -> None:
    table: dict[int, int] = {}

    def store(key: int) -> Callable[[], None]:
        def act() -> None:
            table[key] = key

        return act

    run(store(0), store(1))
    run(store(-1), store(-2))  # whose hashes are equal
    assert len(table) == 4


def no_race_setdefault() -> None:
    table: dict[str, object] = {}
    run(lambda: table.setdefault("k", object()), lambda: table.setdefault("k", object()))


@reports("lost-update")
def race_shared_iterator() -> None:
    numbers = iter(range(50))
    run(lambda: next(numbers), lambda: next(numbers))
