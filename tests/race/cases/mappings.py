"""Dicts and sets: items by key, views, and the whole."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from tests.race.schedule import Box, reports, run


def bump(table: Any, key: Any) -> Callable[[], None]:
    def act() -> None:
        table[key] += 1

    return act


@reports("lost-update")
def race_same_key_of_two_types() -> None:
    table: dict[object, int] = {1: 0}
    run(bump(table, 1), bump(table, 1.0), bump(table, True))


@reports("lost-update")
def race_key_made_anew() -> None:
    table = {"key-1": 0}
    run(bump(table, "key-" + str(1)), bump(table, f"key-{1}"))


@reports("lost-update")
def race_tuple_as_a_key() -> None:
    table = {(1, "a"): 0}
    run(bump(table, (1, "a")), bump(table, (1, "".join(["a"]))))


@reports("lost-update")
def race_big_number_as_a_key() -> None:
    table = {2**80: 0}
    run(bump(table, 2**80), bump(table, 1 << 80))


@reports("lost-update")
def race_none_as_a_key() -> None:
    table: dict[object, int] = {None: 0}
    run(bump(table, None), bump(table, None))


def no_race_keys_of_one_hash() -> None:
    table = {"a": 0, hash("a"): 0}
    run(bump(table, "a"), bump(table, "b") if "b" in table else bump({"b": 0}, "b"))


class Key:
    def __init__(self, name: str) -> None:
        self.name = name
        self.compared = 0

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.name == other.name


@reports("lost-update")
def race_object_as_a_key() -> None:
    key = Key("a")
    table = {key: 0}
    run(bump(table, key), bump(table, key))


@reports("lost-update")
def missed_race_two_equal_objects_as_keys() -> None:
    table = {Key("a"): 0}
    run(bump(table, Key("a")), bump(table, Key("a")))


@reports("lost-update")
def race_key_of_a_subclass_of_dict() -> None:
    class Table(dict[str, int]):
        def total(self) -> int:
            return sum(self.values())

    table = Table(a=0)
    run(bump(table, "a"), bump(table, "a"))


@reports("lost-update")
def race_key_of_a_counter() -> None:
    counts = collections.Counter({"a": 0})
    run(bump(counts, "a"), bump(counts, "a"))


@reports("lost-update")
def race_key_of_an_ordered_dict() -> None:
    table = collections.OrderedDict(a=0)
    run(bump(table, "a"), bump(table, "a"))


@reports("check-then-act", "lost-update", "read-during-update")
def race_missing_of_a_subclass_of_dict() -> None:
    class Squares(dict[int, int]):
        def __missing__(self, n: int) -> int:
            self[n] = n * n
            return self[n]

    squares = Squares()
    run(lambda: squares[3], lambda: squares[3], lambda: squares[3])


def no_race_subclass_of_dict_with_a_lock_of_its_own() -> None:
    class Table(dict[str, int]):
        def __init__(self) -> None:
            super().__init__(a=0)
            self.lock = threading.Lock()

        def __getitem__(self, key: str) -> int:
            with self.lock:
                return dict.__getitem__(self, key)

        def __setitem__(self, key: str, value: int) -> None:
            with self.lock:
                dict.__setitem__(self, key, value)

        def __contains__(self, key: object) -> bool:
            with self.lock:
                return dict.__contains__(self, key)

        def __len__(self) -> int:
            with self.lock:
                return dict.__len__(self)

    table = Table()

    def write() -> None:
        table["a"] = 1

    def read() -> None:
        assert table["a"] in (0, 1)
        assert "b" not in table
        assert len(table) == 1

    run(write, read, write)


@reports("lost-update")
def race_inner_dict() -> None:
    table = {"a": {"b": 0}}

    def act() -> None:
        table["a"]["b"] += 1

    run(act, act)


def no_race_inner_dicts_of_other_keys() -> None:
    table = {"a": {"n": 0}, "b": {"n": 0}}

    def act(key: str) -> None:
        table[key]["n"] += 1

    run(lambda: act("a"), lambda: act("b"))


# --- check, then act ---


@reports("check-then-act", "unordered-read", "lost-update")
def race_not_in_then_store() -> None:
    table: dict[str, Box] = {}

    def get() -> Box:
        if "a" not in table:
            table["a"] = Box()
        return table["a"]

    run(get, get)


@reports("check-then-act", "unordered-read", "lost-update")
def race_get_then_store() -> None:
    table: dict[str, Box] = {}

    def get() -> Box:
        found = table.get("a")
        if found is None:
            found = table["a"] = Box()
        return found

    run(get, get)


@reports("check-then-act", "unordered-read", "lost-update", "read-during-update", "unordered-writes")
def race_key_error_then_store() -> None:
    table: dict[str, Box] = {}

    def get() -> Box:
        try:
            return table["a"]
        except KeyError:
            table["a"] = Box()
            return table["a"]

    run(get, get)


@reports("check-then-act", "unordered-read", "lost-update")
def race_in_keys_then_store() -> None:
    table: dict[str, int] = {}

    def put() -> None:
        if "a" not in table.keys():  # noqa: SIM118
            table["a"] = 1

    run(put, put)


@reports("check-then-act", "lost-update", "unordered-writes", "unordered-read")
def race_check_then_pop() -> None:
    table = {"a": 1}

    def take() -> None:
        if "a" in table:
            table.pop("a", None)

    run(take, take)


@reports("check-then-act", "unordered-read")
def race_check_then_discard_from_a_set() -> None:
    members = {"a"}

    def leave() -> None:
        if "a" in members:
            members.discard("a")

    run(leave, leave)


def no_race_setdefault_and_get() -> None:
    table: dict[str, list[int]] = {}

    def use() -> None:
        table.setdefault("a", []).append(1)

    run(use, use)
    assert len(table["a"]) == 2


def no_race_check_and_store_under_a_lock() -> None:
    table: dict[str, Box] = {}
    lock = threading.Lock()

    def get() -> Box:
        with lock:
            if "a" not in table:
                table["a"] = Box()
            return table["a"]

    run(get, get)


@reports("check-then-act")
def race_update_and_get() -> None:
    table = {"a": 1}

    def use() -> object:
        if table.get("a"):
            table["a"] = 3
        return None

    run(lambda: table.update({"a": 2}), use)


# --- the whole ---


def iterate(items: Callable[[], Any]) -> Callable[[], None]:
    def act() -> None:
        with contextlib.suppress(RuntimeError):
            for _ in items():
                pass

    return act


@reports("changed-during-iteration")
def race_values_and_new_key() -> None:
    table = {"a": 1}

    def add() -> None:
        table["b"] = 2

    run(iterate(table.values), add)


@reports("changed-during-iteration")
def race_items_and_deletion() -> None:
    table = {"a": 1, "b": 2}

    def remove() -> None:
        del table["b"]

    run(iterate(table.items), remove)


@reports("changed-during-iteration")
def race_keys_and_update() -> None:
    table = {"a": 1}
    run(iterate(table.keys), lambda: table.update(b=2))


@reports("changed-during-iteration")
def race_keys_and_update_in_place() -> None:
    table = {"a": 1}

    def merge() -> None:
        other = table
        other |= {"b": 2}

    run(iterate(table.keys), merge)


@reports("changed-during-iteration")
def race_iteration_and_popitem() -> None:
    table = {"a": 1}
    run(iterate(lambda: table), lambda: table.popitem())


@reports("changed-during-iteration")
def race_iteration_and_clear() -> None:
    table = {"a": 1}
    run(iterate(lambda: table), lambda: table.clear())


@reports("changed-during-iteration")
def race_iteration_and_setdefault() -> None:
    table = {"a": 1}
    run(iterate(lambda: table), lambda: table.setdefault("b", 1))


@reports("changed-during-iteration")
def race_ordered_dict_and_move_to_end() -> None:
    table = collections.OrderedDict(a=1, b=2)
    run(iterate(lambda: table), lambda: table.move_to_end("a"))


@reports("changed-during-iteration")
def race_dict_comprehension_and_new_key() -> None:
    table = {"a": 1}

    def add() -> None:
        table["b"] = 2

    run(lambda: {key: value for key, value in table.items()}, add)  # noqa: C416


@reports("changed-during-iteration")
def race_set_iteration_and_update() -> None:
    members = {1, 2}
    run(iterate(lambda: members), lambda: members.update([3]))


@reports("changed-during-iteration")
def race_set_iteration_and_update_in_place() -> None:
    members = {1, 2}

    def merge() -> None:
        other = members
        other |= {3}

    run(iterate(lambda: members), merge)


@reports("stale-size")
def race_size_of_a_dict_as_a_limit() -> None:
    table: dict[str, int] = {}

    def put(key: str) -> None:
        if len(table) < 1:
            table[key] = 1

    run(lambda: put("a"), lambda: put("b"))


@reports("stale-size")
def race_truth_of_a_dict_and_popitem() -> None:
    table = {"a": 1}

    def take() -> None:
        if table:
            with contextlib.suppress(KeyError):
                table.popitem()

    run(take, take)


def no_race_existing_key_stored_during_iteration_over_keys() -> None:
    table = {"a": 1, "b": 2}

    def store() -> None:
        table["a"] = 3

    run(iterate(table.keys), store)


def no_race_set_operations_that_copy() -> None:
    members = {1, 2}
    run(lambda: members | {3}, lambda: members.union([4]), lambda: members & {1})


def no_race_list_of_a_dict_and_new_key() -> None:
    table = {"a": 1}

    def add() -> None:
        table["b"] = 2

    run(lambda: list(table), lambda: sorted(table), add)


def no_race_dict_merged_from_a_copy() -> None:
    table = {"a": 1}

    def add() -> None:
        table["b"] = 2

    run(lambda: {**table}, lambda: dict(table, c=1), lambda: table | {"d": 1}, add)


def no_race_key_for_each_thread() -> None:
    table: dict[int, int] = {}

    def work() -> None:
        me = threading.get_ident()
        for i in range(5):
            table[me] = i
        del table[me]

    run(work, work)


@reports("read-during-update")
def missed_race_values_and_an_update_of_an_item() -> None:
    """No key is added or removed; the values are read one by one, in C."""
    table = {"a": 1}
    run(lambda: sum(table.values()), bump(table, "a"))
