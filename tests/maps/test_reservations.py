"""Reservations alone: waiting for them, and DeadlockError if the wait would never end."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.maps.computations import let_others_run
from tests.maps.keys import Key
from threadproof._core import DeadlockError, Reservation


def reservation_of_another_thread(pool: ThreadPoolExecutor, key: object) -> Reservation:
    return pool.submit(Reservation, key).result(PATIENCE)


def test_a_reservation_has_its_key_and_is_held_until_it_ends() -> None:
    key = Key(1)
    assert not Reservation.held()
    outer = Reservation(key)
    inner = Reservation("another")
    assert outer.key is key
    inner.end()
    assert Reservation.held()
    outer.end()
    assert not Reservation.held()


def test_a_reservation_is_held_by_one_thread() -> None:
    reservation = Reservation("k")
    with ThreadPoolExecutor() as pool:
        assert not pool.submit(Reservation.held).result(PATIENCE)
    reservation.end()


def test_waiting_for_a_reservation_that_has_ended_returns_at_once() -> None:
    reservation = Reservation("k")
    reservation.end()
    reservation.wait()
    reservation.wait(0)


def test_all_waiting_threads_continue_when_the_reservation_ends() -> None:
    reservation = Reservation("k")
    ended: list[bool] = []

    def wait_and_look() -> bool:
        reservation.wait()
        return bool(ended)

    with ThreadPoolExecutor(4) as pool:
        waiters = [pool.submit(wait_and_look) for _ in range(4)]
        let_others_run()
        ended.append(True)
        reservation.end()
        assert [waiter.result(PATIENCE) for waiter in waiters] == [True] * 4


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_wait_ends_with_its_timeout(timeout: float) -> None:
    with ThreadPoolExecutor(1) as pool:
        reservation = reservation_of_another_thread(pool, "the key")
        with pytest.raises(TimeoutError, match="'the key'"):
            reservation.wait(timeout)
        pool.submit(reservation.end).result(PATIENCE)
        reservation.wait(timeout)


def test_a_thread_cannot_wait_for_itself() -> None:
    reservation = Reservation("the key")
    for _ in range(2):
        with pytest.raises(DeadlockError, match="'the key'"):
            reservation.wait(0)
    reservation.end()


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_the_last_thread_of_a_cycle_is_told_its_keys(threads: int) -> None:
    all_have_one = threading.Barrier(threads)
    reservations: dict[int, Reservation] = {}

    def work(index: int) -> str:
        reservations[index] = mine = Reservation(f"key {index}")
        all_have_one.wait(PATIENCE)
        try:
            reservations[(index + 1) % threads].wait()
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
        mine, theirs = Reservation("mine"), reservation_of_another_thread(pool, "theirs")
        with pytest.raises(TimeoutError):
            pool.submit(mine.wait, 0.001).result(PATIENCE)
        with pytest.raises(TimeoutError):
            theirs.wait(0)
        pool.submit(theirs.end).result(PATIENCE)
        mine.end()


def test_a_reservation_keeps_nothing_alive_after_its_life() -> None:
    key = Key(1)
    reservation = Reservation(key)
    reservation.end()
    reference = weakref.ref(key)
    del reservation, key
    gc.collect()
    assert reference() is None


def test_showing_a_key_may_fail_and_the_wait_is_refused_still() -> None:
    class Unshown:
        def __repr__(self) -> str:
            raise ArithmeticError("repr")

    reservation = Reservation(Unshown())
    with pytest.raises((DeadlockError, ArithmeticError)):
        reservation.wait()
    reservation.end()
    assert not Reservation.held()
