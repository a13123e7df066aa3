"""The contract, while a computation is running: what readers see, which threads wait, and the outcome.

If a claim is that a thread waits, the test gives it time to do the wrong step, and then checks its steps.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer, pause
from tests.kit.interrupting import interrupt
from tests.maps.computations import Failed, computing, let_others_run
from tests.maps.conftest import MAPS, MapMaker
from tests.maps.keys import Key
from tests.maps.operations import (
    ABSENT,
    READS,
    WRITES,
    WRITES_IF_ABSENT,
    WRITES_IF_PRESENT,
    Map,
)
from threadproof import REMOVE, DeadlockError

# The four ways to compute, as one call: fn gets no argument.
COMPUTING: dict[str, Callable[..., Any]] = {
    "compute": lambda m, key, fn, **options: m.compute(key, lambda old: fn(), **options),
    "compute_if_absent": lambda m, key, fn, **options: m.compute_if_absent(key, lambda key: fn(), **options),
    "compute_if_present": lambda m, key, fn, **options: m.compute_if_present(
        key, lambda old: fn(), **options
    ),
    "merge": lambda m, key, fn, **options: m.merge(key, "value", lambda old, value: fn(), **options),
}

BLOCKED_WHEN_PRESENT = {**WRITES, **WRITES_IF_PRESENT}
BLOCKED_WHEN_ABSENT = {
    name: write for name, write in {**WRITES, **WRITES_IF_ABSENT}.items() if not name.startswith("compare")
}


def start(name: str, m: Map, key: Any) -> None:
    """Make `key` absent or present, so that this way of computing calls fn."""
    if name == "compute_if_absent":
        m.pop(key, None)
    else:
        m[key] = "old"


# Other threads during a computation


@pytest.mark.parametrize("entries", [{}, {"k": "old"}], ids=["absent", "present"])
def test_readers_see_the_old_value_until_fn_returns(make_map: MapMaker, entries: dict[str, str]) -> None:
    m = make_map(entries, other=1)
    expected = {**entries, "other": 1}
    with computing(m, "k", "new"):
        assert m.get("k", ABSENT) is entries.get("k", ABSENT)
        assert m.get_many(["k"]) == [entries.get("k")]
        assert ("k" in m) == ("k" in entries)
        assert len(m) == len(expected)
        assert dict(m.items()) == dict(zip(m.keys(), m.values(), strict=True)) == expected
        assert m == expected
        assert m.snapshot() == m.copy() == m | {} == expected
        assert repr(m) == f"{make_map.type.__name__}({dict(m.items())})"
    assert m == {"k": "new", "other": 1}


def test_what_only_reads_does_not_wait(make_map: MapMaker) -> None:
    m = make_map(k="old")
    with computing(m, "k", "new"), computing(m, "new", "new"):
        assert m.setdefault("k", "default") == "old"
        assert m.compute_if_absent("k", lambda key: "computed") == "old"
        assert m.compute_if_present("new", lambda old: "computed") is None
        assert not m.compare_and_swap("k", "another", "swapped")
        m.stats()
    assert m == {"k": "new", "new": "new"}


def test_other_keys_are_not_blocked_whatever_their_hash(
    make_map: MapMaker, make_key: Callable[[int], Key]
) -> None:
    m = make_map((make_key(number), 0) for number in range(32))
    writes = [*WRITES.values(), *WRITES_IF_ABSENT.values(), *WRITES_IF_PRESENT.values()]
    with computing(m, make_key(0), "zero"), computing(m, make_key(99), "ninety-nine"):
        for number, write in enumerate(writes, start=1):
            write(m, make_key(number))
        m.set_many(map(make_key, range(1, 200, 5)), range(40))
    assert m[make_key(0)] == "zero"
    assert m[make_key(99)] == "ninety-nine"


@pytest.mark.parametrize("name", BLOCKED_WHEN_PRESENT)
def test_a_writer_of_the_same_key_comes_after_the_computation(make_map: MapMaker, name: str) -> None:
    check_comes_after(make_map, BLOCKED_WHEN_PRESENT[name], {"k": 10})


@pytest.mark.parametrize("name", BLOCKED_WHEN_ABSENT)
def test_a_writer_of_a_key_whose_first_value_is_computed_comes_after_it(
    make_map: MapMaker, name: str
) -> None:
    check_comes_after(make_map, BLOCKED_WHEN_ABSENT[name], {})


def check_comes_after(make_map: MapMaker, write: Callable[[Map, Any], Any], entries: dict[str, int]) -> None:
    m, entered = make_map(entries), threading.Event()

    def enter_and_write() -> Any:
        entered.set()
        return write(m, "k")

    with ThreadPoolExecutor() as pool:
        with computing(m, "k", 20):
            result = pool.submit(enter_and_write)
            assert entered.wait(PATIENCE)
            let_others_run()
        after = make_map(k=20)
        expected = write(after, "k")
    assert m == after
    assert result.result(PATIENCE) == expected


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_timeout_ends_the_wait_and_changes_nothing(make_map: MapMaker, name: str, timeout: float) -> None:
    m = make_map()
    start(name, m, "k")
    with computing(m, "k", "new"), pytest.raises(TimeoutError, match="'k'"):
        COMPUTING[name](m, "k", lambda: pytest.fail("called"), timeout=timeout)
    assert m == {"k": "new"}


@pytest.mark.parametrize("name", COMPUTING)
def test_a_timeout_limits_neither_fn_nor_a_wait_that_is_over(make_map: MapMaker, name: str) -> None:
    m = make_map()
    start(name, m, "k")

    def slow() -> str:
        let_others_run()
        return "new"

    assert COMPUTING[name](m, "k", slow, timeout=0) == "new"


def test_who_waited_for_a_key_that_was_removed_finds_it_absent(make_map: MapMaker) -> None:
    m = make_map(k="old")
    with ThreadPoolExecutor() as pool:
        with computing(m, "k", REMOVE):
            present = pool.submit(m.compute_if_present, "k", lambda old: pytest.fail(f"called with {old}"))
            popped = pool.submit(m.pop, "k", "default")
            swapped = pool.submit(m.compare_and_swap, "k", "old", "new")
            let_others_run()
        assert present.result(PATIENCE) is None
        assert popped.result(PATIENCE) == "default"
        assert swapped.result(PATIENCE) is False
    assert m == {}


@pytest.mark.parametrize("name", ["compute", "compute_if_present", "merge"])
def test_a_wait_that_ends_in_time_is_followed_by_fn(make_map: MapMaker, name: str) -> None:
    m = make_map(k="old")
    with ThreadPoolExecutor() as pool:
        with computing(m, "k", "new"):
            result = pool.submit(COMPUTING[name], m, "k", lambda: m["k"] + "er", timeout=PATIENCE)
            let_others_run()
        assert result.result(PATIENCE) == m["k"] == "newer"


def test_waiting_can_be_interrupted(make_map: MapMaker) -> None:
    m = make_map()
    with computing(m, "k", "new"):
        interrupt(lambda: m.__setitem__("k", "overwritten"), waits=let_others_run)
    assert m == {"k": "new"}


# The outcome


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize(
    "error", [Failed, KeyError, DeadlockError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
def test_what_fn_raises_comes_out_and_the_old_value_stays(
    make_map: MapMaker, name: str, error: type[BaseException]
) -> None:
    m, raised = make_map(other=1), error("raised")
    start(name, m, "k")
    before = m.snapshot()

    def fail() -> None:
        raise raised

    with pytest.raises(error) as caught:
        COMPUTING[name](m, "k", fail)
    assert caught.value is raised
    assert m == before
    assert COMPUTING[name](m, "k", lambda: "new") == "new"


@pytest.mark.parametrize("entries", [{}, {"k": 10}], ids=["absent", "present"])
def test_waiters_go_on_after_a_failure_with_the_old_value(
    make_map: MapMaker, entries: dict[str, int]
) -> None:
    m, found = make_map(entries), []

    def find(old: Any) -> Any:
        found.append(old)
        return REMOVE if old is ABSENT else old

    with ThreadPoolExecutor() as pool:
        with computing(m, "k", Failed()):
            waiters = [pool.submit(m.compute, "k", find, ABSENT) for _ in range(4)]
            let_others_run()
        for waiter in waiters:
            waiter.result(PATIENCE)
    assert found == [entries.get("k", ABSENT)] * 4
    assert m == entries


def test_each_thread_calls_its_own_fn_when_the_one_before_has_failed(make_map: MapMaker) -> None:
    m, calls = make_map(), []

    def third_time_lucky(key: str) -> int:
        calls.append(key)
        let_others_run()
        if len(calls) < 3:
            raise Failed
        return len(calls)

    def work(index: int) -> Any:
        try:
            return m.compute_if_absent("k", third_time_lucky)
        except Failed:
            return None

    assert sorted(map(str, hammer(work, 6))) == ["3"] * 4 + ["None"] * 2
    assert len(calls) == 3


def test_computations_at_one_key_run_one_at_a_time_and_none_is_lost(make_map: MapMaker) -> None:
    m = make_map()
    inside: list[int] = []

    def add_one(old: int) -> int:
        assert not inside
        inside.append(old)
        pause()
        inside.pop()
        return old + 1

    def work(index: int) -> None:
        for _ in range(100):
            m.compute("k", add_one, 0)
            m.merge("k", 1, lambda old, one: add_one(old))
            m.compute_if_present("k", add_one)

    hammer(work, 4)
    assert m == {"k": 1200}


def test_fn_may_use_the_rest_of_the_map(make_map: MapMaker) -> None:
    m = make_map(a=1, b=2, c=3)

    def sum_up(old: Any) -> int:
        m["d"] = m.compute("a", lambda a: m.compute("b", lambda b: a + b, 0), 0)
        m.pop("c")
        return sum(m.values())

    assert m.compute("sum", sum_up) == 9
    assert m == {"a": 3, "b": 3, "d": 3, "sum": 9}


# Deadlocks


@pytest.mark.parametrize("name", BLOCKED_WHEN_PRESENT)
def test_fn_cannot_write_its_own_key(make_map: MapMaker, name: str) -> None:
    check_cannot_write(make_map(k=1), BLOCKED_WHEN_PRESENT[name])


@pytest.mark.parametrize("name", BLOCKED_WHEN_ABSENT)
def test_fn_cannot_write_its_own_key_before_it_has_a_value(make_map: MapMaker, name: str) -> None:
    check_cannot_write(make_map(), BLOCKED_WHEN_ABSENT[name])


def check_cannot_write(m: Map, write: Callable[[Map, Any], Any]) -> None:
    before = m.snapshot()
    with pytest.raises(DeadlockError, match="'k'"):
        m.compute("k", lambda old: write(m, "k"))
    assert m == before

    def stubborn(old: Any) -> str:
        with pytest.raises(DeadlockError):
            write(m, "k")
        assert m == before
        return "new"

    assert m.compute("k", stubborn) == m["k"] == "new"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_fn_can_read_its_own_key(make_map: MapMaker, read: Callable[[Map, Any], Any]) -> None:
    m = make_map(k=1)
    assert m.compute("k", lambda old: read(m, "k")) == read(make_map(k=1), "k")


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize(
    "other", [None, *MAPS], ids=["one map", *(f"and a {each.__name__}" for each in MAPS)]
)
def test_of_a_cycle_of_threads_exactly_one_gets_an_error(
    make_map: MapMaker, make_key: Callable[[int], Key], threads: int, other: type[Map] | None
) -> None:
    for _ in range(5):
        maps = [make_map(), other() if other else make_map()]
        errors = write_in_a_circle(maps if other else maps[:1], make_key, threads)
        assert len(errors) == 1
        assert all(f"Key({index})" in str(errors[0]) for index in range(threads))
        assert sum(map(len, maps)) == threads


def write_in_a_circle(maps: list[Map], make_key: Callable[[int], Key], threads: int) -> list[DeadlockError]:
    """Each thread computes its own key in one of the maps, and there writes the key of the next thread."""
    all_inside = threading.Barrier(threads)

    def work(index: int) -> DeadlockError | None:
        following = (index + 1) % threads

        def write_the_next_key(old: Any) -> str:
            all_inside.wait(PATIENCE)
            maps[following % len(maps)].set_many([make_key(following)], ["from before"])
            return "own"

        try:
            maps[index % len(maps)].compute(make_key(index), write_the_next_key)
        except DeadlockError as raised:
            return raised
        return None

    return [error for error in hammer(work, threads) if error is not None]


def test_waiting_for_a_thread_that_waits_for_another_is_no_deadlock(make_map: MapMaker) -> None:
    m = make_map()
    with ThreadPoolExecutor() as pool:
        with computing(m, "a", "A"):
            b = pool.submit(m.compute, "b", lambda old: m.swap("a", "taken by b"))
            c = pool.submit(m.compute, "c", lambda old: m.add("b", " and c", ""))
            let_others_run()
        assert b.result(PATIENCE) == "A"
        c.result(PATIENCE)
    assert m["a"] == "taken by b"
    assert m["b"] in ("A and c", "A", " and c")


# The whole map, meanwhile


@pytest.mark.parametrize("outcome", ["new", REMOVE, Failed()], ids=repr)
@pytest.mark.parametrize("entries", [{}, {"k": "old"}], ids=["absent", "present"])
def test_clear_does_not_wait_and_the_outcome_is_dropped(
    make_map: MapMaker, entries: dict[str, str], outcome: Any
) -> None:
    m = make_map(entries, other=1)
    with computing(m, "k", outcome):
        m.clear()
        assert m == {}
        m["after"] = 2
    assert m == {"after": 2}


def test_what_is_stored_after_clear_stays_though_a_computation_ends_later(make_map: MapMaker) -> None:
    m = make_map(k="old")
    with computing(m, "k", "dropped"):
        m.clear()
        m["k"] = "kept"
        assert m.merge("k", "!", lambda old, value: old + value) == "kept!"
    assert m == {"k": "kept!"}


def test_a_computation_that_was_cleared_leaves_a_later_one_alone(make_map: MapMaker) -> None:
    m = make_map()
    with ExitStack() as later:
        with computing(m, "k", "first"):
            m.clear()
            later.enter_context(computing(m, "k", "second"))
        assert "k" not in m
    assert m == {"k": "second"}


def test_fn_may_clear_its_own_map_and_its_outcome_is_returned_but_dropped(make_map: MapMaker) -> None:
    m = make_map(k="old", other=1)

    def clear(old: Any) -> str:
        m.clear()
        return "new"

    def clear_and_store(old: Any) -> str:
        m.clear()
        m["k"] = "kept"
        return "new"

    assert m.compute("k", clear) == "new"
    assert m == {}
    assert m.compute("k", clear_and_store) == "new"
    assert m == {"k": "kept"}


@pytest.mark.parametrize("outcome", ["new", REMOVE, Failed()], ids=repr)
@pytest.mark.parametrize("entries", [{}, {"k": "old"}], ids=["absent", "present"])
def test_drain_waits_for_the_outcomes_of_what_it_took(
    make_map: MapMaker, entries: dict[str, str], outcome: Any
) -> None:
    m = make_map(entries, other=1)
    with ThreadPoolExecutor() as pool:
        with computing(m, "k", outcome):
            drained = pool.submit(m.drain)
            while m:
                pause()
            m["k"] = "after"
        came_to = {"new": {"k": "new"}, REMOVE: {}}.get(outcome, entries)
        assert drained.result(PATIENCE) == {**came_to, "other": 1}
    assert m == {"k": "after"}


def test_drain_inside_a_computation_is_refused_while_the_map_has_one_running(make_map: MapMaker) -> None:
    m, other = make_map(k=1), make_map(a=1)
    with pytest.raises(DeadlockError, match=rf"{make_map.type.__name__}.drain\(\)"):
        m.compute("k", lambda old: m.drain())
    assert m == {"k": 1}
    with computing(other, "b", 2), pytest.raises(DeadlockError):
        m.compute("k", lambda old: other.drain())
    assert other == {"a": 1, "b": 2}
    assert m.compute("k", lambda old: other.drain()) == {"a": 1, "b": 2}


def test_popitem_leaves_keys_alone_that_are_being_computed(
    make_map: MapMaker, make_key: Callable[[int], Key]
) -> None:
    m = make_map((make_key(number), number) for number in range(20))
    with computing(m, make_key(0), "first"), computing(m, make_key(19), "last"):
        taken = [m.popitem()[1] for _ in range(9)]
        with computing(m, make_key(20), "new"):
            taken += [m.popitem()[1] for _ in range(9)]
    assert sorted(taken) == list(range(1, 19))
    assert sorted(m.values()) == ["first", "last", "new"]


def test_popitem_waits_when_all_keys_are_being_computed(make_map: MapMaker) -> None:
    m = make_map(k="old")
    with ThreadPoolExecutor() as pool:
        with computing(m, "k", "new"):
            popped = pool.submit(m.popitem)
            let_others_run()
        assert popped.result(PATIENCE) == ("k", "new")
    assert m == {}
    m["k"] = "old"
    with pytest.raises(DeadlockError):
        m.compute("k", lambda old: m.popitem())
    assert m == {"k": "old"}


def test_popitem_of_a_map_whose_first_value_is_being_computed_finds_it_empty(make_map: MapMaker) -> None:
    m = make_map()
    with computing(m, "k", "new"), pytest.raises(KeyError):
        m.popitem()
    assert m == {"k": "new"}


def test_iteration_sees_the_old_values_of_what_is_being_computed(make_map: MapMaker) -> None:
    m = make_map.type.fromkeys(range(50), "old")
    with computing(m, 7, "new"), computing(m, 50, "new"):
        assert dict(m.items()) == dict.fromkeys(range(50), "old")
        for key in m:
            if key != 7:
                m.compute(key, lambda old: "newer")
        assert m[7] == "old"


def test_a_copy_or_pickle_made_by_fn_has_no_computation_running(make_map: MapMaker) -> None:
    m = make_map(k="old")
    copies: list[Map] = []

    def make_copies(old: Any) -> str:
        copies.extend([m.copy(), pickle.loads(pickle.dumps(m))])
        return "new"

    m.compute("k", make_copies)
    for each in copies:
        assert each.swap("k", "written") == "old"
        assert each.drain() == {"k": "written"}
