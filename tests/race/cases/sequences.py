"""Lists, deques, bytearrays and arrays: items, slices, and the whole."""

from __future__ import annotations

import array
import bisect
import collections
import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from tests.race.schedule import Box, reports, run


def bump(items: Any, place: int) -> Callable[[], None]:
    def act() -> None:
        items[place] += 1

    return act


@reports("lost-update")
def race_item_of_a_deque() -> None:
    line = collections.deque([0, 0])
    run(bump(line, 1), bump(line, -1))


@reports("lost-update")
def race_item_of_a_bytearray() -> None:
    data = bytearray(4)
    run(bump(data, 2), bump(data, 2))


@reports("lost-update")
def race_item_of_an_array() -> None:
    numbers = array.array("i", [0, 0])
    run(bump(numbers, 0), bump(numbers, 0))


def no_race_other_items_of_an_array() -> None:
    numbers = array.array("i", [0, 0])
    run(bump(numbers, 0), bump(numbers, 1))
    assert list(numbers) == [1, 1]


@reports("lost-update")
def race_item_of_a_subclass_of_list() -> None:
    class Row(list[int]):
        pass

    row = Row([0])
    run(bump(row, 0), bump(row, 0))


def no_race_subclass_of_list_with_a_lock_of_its_own() -> None:
    import threading

    class Row(list[int]):
        def __init__(self, *items: int) -> None:
            super().__init__(items)
            self.lock = threading.Lock()

        def __getitem__(self, place: Any) -> Any:
            with self.lock:
                return list.__getitem__(self, place)

        def __setitem__(self, place: Any, value: Any) -> None:
            with self.lock:
                list.__setitem__(self, place, value)

    row = Row(1, 2)

    def write() -> None:
        row[0] = 3

    def read() -> None:
        assert row[0] in (1, 3)

    run(write, read, write)


@reports("lost-update")
def race_item_through_a_variable_index() -> None:
    items, place = [0, 0, 0], 1

    def act() -> None:
        at = place + 1
        items[at] += 1

    run(act, act)


@reports("lost-update")
def race_item_through_two_names_of_a_list() -> None:
    items = [0]
    other = items
    run(bump(items, 0), bump(other, 0))


def no_race_item_of_a_copy() -> None:
    items = [0]
    run(bump(items, 0), bump(items.copy(), 0), bump(items[:], 0))


@reports("lost-update")
def race_list_inside_a_tuple() -> None:
    pair = ([0], 1)

    def act() -> None:
        pair[0][0] += 1

    run(act, act)


@reports("unordered-writes", "lost-update")
def race_swap_of_items() -> None:
    items = [1, 2]

    def swap() -> None:
        items[0], items[1] = items[1], items[0]

    run(swap, swap)


@reports("unordered-writes")
def race_stores_of_items() -> None:
    items: list[object] = [None]

    def put(value: object) -> Callable[[], None]:
        def act() -> None:
            items[0] = value

        return act

    run(put(1), put(2))


# --- iteration ---


def iterate(items: Any) -> Callable[[], None]:
    def act() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in items:
                pass

    return act


def changes(items: list[int]) -> list[Callable[[], object]]:
    def add_in_place() -> None:
        other = items
        other += [9]

    def store_slice() -> None:
        items[1:2] = [7, 8]

    def delete_slice() -> None:
        del items[0:1]

    def delete() -> None:
        del items[0]

    return [
        *(add_in_place, store_slice, delete_slice, delete),
        *(lambda: items.extend([5]), lambda: items.insert(0, 5), lambda: items.pop()),
        *(lambda: items.sort(), lambda: items.reverse(), lambda: items.clear()),
    ]


@reports("changed-during-iteration")
def race_iteration_and_in_place_addition() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[0])


@reports("changed-during-iteration")
def race_iteration_and_slice_store() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[1])


@reports("changed-during-iteration")
def race_iteration_and_slice_deletion() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[2])


@reports("changed-during-iteration")
def race_iteration_and_deletion() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[3])


@reports("changed-during-iteration")
def race_iteration_and_extend() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[4])


@reports("changed-during-iteration")
def race_iteration_and_insert() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[5])


@reports("changed-during-iteration")
def race_iteration_and_pop() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[6])


@reports("changed-during-iteration")
def race_iteration_and_sort() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[7])


@reports("changed-during-iteration")
def race_iteration_and_reverse() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[8])


@reports("changed-during-iteration")
def race_iteration_and_clear() -> None:
    items = [1, 2, 3]
    run(iterate(items), changes(items)[9])


@reports("changed-during-iteration")
def race_enumerate_and_append() -> None:
    items = [1, 2, 3]

    def act() -> None:
        for _ in enumerate(items, start=1):
            pass

    run(act, lambda: items.append(1))


@reports("changed-during-iteration")
def race_second_of_zip_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: [pair for pair in zip("abc", items, strict=False)], lambda: items.append(1))  # noqa: C416


@reports("changed-during-iteration")
def race_reversed_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: [x for x in reversed(items)], lambda: items.append(1))  # noqa: C416


@reports("changed-during-iteration")
def race_max_by_key_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: max(items, key=abs), lambda: items.append(1))


@reports("changed-during-iteration")
def race_generator_expression_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: sum(x * 2 for x in items), lambda: items.append(1))


@reports("changed-during-iteration")
def race_yield_from_and_append() -> None:
    items = [1, 2, 3]

    def values() -> Iterator[int]:
        yield from items

    run(lambda: list(values()), lambda: items.append(1))


@reports("changed-during-iteration")
def race_membership_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: 4 in items, lambda: items.append(1))


@reports("changed-during-iteration")
def race_map_and_append() -> None:
    items = [1, 2, 3]
    run(lambda: list(map(str, items)), lambda: items.append(1))


@reports("changed-during-iteration")
def race_deque_iteration_and_rotate() -> None:
    line = collections.deque([1, 2, 3])
    run(iterate(line), lambda: line.rotate(1))


def no_race_sorted_and_append() -> None:
    """One step that copies, and one that adds: either may be first, and neither is lost."""
    items = [3, 1, 2]
    run(lambda: sorted(items), lambda: items.append(1))


def no_race_join_and_append() -> None:
    words = ["a", "b"]
    run(lambda: " ".join(words), lambda: words.append("c"))


def no_race_spread_and_append() -> None:
    items = [1, 2]
    run(lambda: [*items, 0], lambda: items.append(3), lambda: max(*items, 0))


# --- sizes ---


@reports("stale-size")
def race_truth_of_a_list_and_pop() -> None:
    items = [1]

    def take() -> None:
        if items:
            with contextlib.suppress(IndexError):
                items.pop()

    run(take, take)


@reports("stale-size")
def race_truth_of_a_deque_and_popleft() -> None:
    line = collections.deque([1])

    def take() -> None:
        while line:
            with contextlib.suppress(IndexError):
                line.popleft()

    run(take, take)


@reports("stale-size")
def race_not_of_a_list_and_append() -> None:
    items: list[int] = []

    def fill() -> None:
        if not items:
            items.append(1)

    run(fill, fill)


@reports("stale-size")
def race_length_and_heappop() -> None:
    heap = [1, 2, 3]

    def take() -> None:
        if len(heap) > 0:
            heapq.heappop(heap)

    run(take, take)


def no_race_length_of_a_list_that_is_only_read() -> None:
    items = [1, 2]
    run(lambda: len(items), lambda: bool(items), lambda: items[0])


def no_race_heap_under_a_lock() -> None:
    import threading

    heap, lock = [3, 1], threading.Lock()

    def work() -> None:
        with lock:
            heapq.heappush(heap, 2)
        with lock:
            if heap:
                heapq.heappop(heap)

    run(work, work)


def no_race_bisect_under_a_lock() -> None:
    import threading

    items, lock = [1, 5], threading.Lock()

    def work() -> None:
        with lock:
            bisect.insort(items, 3)
            assert items[0] == 1

    run(work, work)


# --- iterators ---


def numbers() -> Iterator[int]:
    yield from range(20)


@reports("lost-update")
def race_generator_that_two_threads_advance() -> None:
    source = numbers()

    def take() -> None:
        with contextlib.suppress(ValueError, StopIteration):
            next(source)

    run(take, take)


@reports("lost-update")
def race_iterator_that_two_loops_share() -> None:
    source = iter([1, 2, 3])
    run(iterate(source), iterate(source))


@reports("lost-update")
def race_enumerate_that_two_threads_advance() -> None:
    source = enumerate("abcdef")
    run(lambda: next(source), lambda: next(source))


@reports("lost-update")
def race_iterator_in_an_attribute() -> None:
    box = Box(v=iter(range(10)))
    run(lambda: next(box.v), lambda: next(box.v))


def no_race_iterator_under_a_lock() -> None:
    import threading

    source, lock = numbers(), threading.Lock()

    def take() -> None:
        for _ in range(3):
            with lock:
                next(source)

    run(take, take)


def no_race_iterator_for_each_thread() -> None:
    items = [1, 2, 3]

    def work() -> None:
        source = iter(items)
        assert next(source) == 1
        for x in source:
            assert x in (2, 3)

    run(work, work)


def no_race_counter_of_itertools() -> None:
    """Each next() of it is one step, and gives a number that nobody else has."""
    numbers = itertools.count()
    run(lambda: next(numbers), lambda: next(numbers))


@reports("lost-update")
def missed_race_update_of_an_item_and_sort() -> None:
    """Sorting moves the item between its read and its store."""
    items = [3, 1, 2]
    run(bump(items, 0), lambda: items.sort())
