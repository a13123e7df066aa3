"""Turns by themselves: waiting for them, and being told when that would never end."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.maps.computations import let_others_run
from tests.maps.keys import Key
from threadproof._core import DeadlockError, Turn


def turn_of_another_thread(pool: ThreadPoolExecutor, key: object) -> Turn:
    return pool.submit(Turn, key).result(PATIENCE)


def test_a_turn_has_its_key_and_is_held_until_it_ends() -> None:
    key = Key(1)
    assert not Turn.held()
    outer = Turn(key)
    inner = Turn("another")
    assert outer.key is key
    inner.end()
    assert Turn.held()
    outer.end()
    assert not Turn.held()


def test_a_turn_is_held_by_one_thread() -> None:
    turn = Turn("k")
    with ThreadPoolExecutor() as pool:
        assert not pool.submit(Turn.held).result(PATIENCE)
    turn.end()


def test_waiting_for_a_turn_that_has_ended_returns_at_once() -> None:
    turn = Turn("k")
    turn.end()
    turn.wait()
    turn.wait(0)


def test_all_who_wait_go_on_when_the_turn_ends() -> None:
    turn = Turn("k")
    ended: list[bool] = []

    def wait_and_look() -> bool:
        turn.wait()
        return bool(ended)

    with ThreadPoolExecutor(4) as pool:
        waiters = [pool.submit(wait_and_look) for _ in range(4)]
        let_others_run()
        ended.append(True)
        turn.end()
        assert [waiter.result(PATIENCE) for waiter in waiters] == [True] * 4


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_wait_ends_with_its_timeout(timeout: float) -> None:
    with ThreadPoolExecutor(1) as pool:
        turn = turn_of_another_thread(pool, "the key")
        with pytest.raises(TimeoutError, match="'the key'"):
            turn.wait(timeout)
        pool.submit(turn.end).result(PATIENCE)
        turn.wait(timeout)


def test_a_thread_cannot_wait_for_itself() -> None:
    turn = Turn("the key")
    for _ in range(2):
        with pytest.raises(DeadlockError, match="'the key'"):
            turn.wait(0)
    turn.end()


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_the_last_thread_of_a_cycle_is_told_its_keys(threads: int) -> None:
    all_have_one = threading.Barrier(threads)
    turns: dict[int, Turn] = {}

    def work(index: int) -> str:
        turns[index] = mine = Turn(f"key {index}")
        all_have_one.wait(PATIENCE)
        try:
            turns[(index + 1) % threads].wait()
        except DeadlockError as error:
            return str(error)
        finally:
            mine.end()
        return ""

    told = [message for message in hammer(work, threads) if message]
    assert len(told) == 1
    assert all(f"'key {index}'" in told[0] for index in range(threads))


def test_a_way_that_a_timeout_has_cut_is_no_cycle() -> None:
    with ThreadPoolExecutor(1) as pool:
        mine, theirs = Turn("mine"), turn_of_another_thread(pool, "theirs")
        with pytest.raises(TimeoutError):
            pool.submit(mine.wait, 0.001).result(PATIENCE)
        with pytest.raises(TimeoutError):
            theirs.wait(0)
        pool.submit(theirs.end).result(PATIENCE)
        mine.end()


def test_a_turn_keeps_nothing_alive_after_its_life() -> None:
    key = Key(1)
    turn = Turn(key)
    turn.end()
    reference = weakref.ref(key)
    del turn, key
    gc.collect()
    assert reference() is None


def test_showing_a_key_may_fail_and_the_wait_is_refused_still() -> None:
    class Unshown:
        def __repr__(self) -> str:
            raise ArithmeticError("repr")

    turn = Turn(Unshown())
    with pytest.raises((DeadlockError, ArithmeticError)):
        turn.wait()
    turn.end()
    assert not Turn.held()
