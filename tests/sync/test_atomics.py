"""AtomicInt, AtomicFloat, AtomicFlag and AtomicIntArray: values, orders, errors, and threads that meet."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import hammer, pause
from threadproof.sync import AtomicFlag, AtomicFloat, AtomicInt, AtomicIntArray, AtomicReference, AtomicStats

LEAST, MOST = -(2**63), 2**63 - 1
ORDERS = ["relaxed", "acquire", "release", "acq_rel", "seq_cst"]

# Each fetch_ method: the value before, its operand, the value after.
FETCHES: list[tuple[str, int, int, int]] = [
    ("fetch_add", 5, 3, 8),
    ("fetch_add", MOST - 1, 1, MOST),
    ("fetch_add", LEAST, MOST, -1),
    ("fetch_sub", 5, 3, 2),
    ("fetch_sub", LEAST + 1, 1, LEAST),
    ("fetch_sub", -1, LEAST, MOST),
    ("fetch_and", 0b1100, 0b1010, 0b1000),
    ("fetch_and", -1, LEAST, LEAST),
    ("fetch_or", 0b1100, 0b1010, 0b1110),
    ("fetch_xor", 0b1100, 0b1010, 0b0110),
    ("fetch_max", 5, 3, 5),
    ("fetch_max", -5, 3, 3),
    ("fetch_min", 5, 3, 3),
    ("fetch_min", LEAST, MOST, LEAST),
]

ATOMICS: list[Callable[[], Any]] = [
    AtomicInt,
    AtomicFloat,
    AtomicFlag,
    AtomicReference,
    lambda: AtomicIntArray(2),
]
NUMBERS: list[Callable[[Any], Any]] = [AtomicInt, AtomicFloat]


class Index:
    """An object with __index__()."""

    def __index__(self) -> int:
        return 7


# Values


def test_a_new_atomic_is_zero_or_what_it_is_given() -> None:
    assert AtomicInt().load() == 0
    assert AtomicFloat().load() == 0.0
    assert AtomicFlag().load() is False
    assert AtomicInt(MOST).load() == MOST
    assert AtomicInt(value=LEAST).load() == LEAST
    assert AtomicFloat(2).load() == 2.0
    assert AtomicFlag(True).load() is True


def test_store_and_exchange_set_the_value() -> None:
    number = AtomicInt(1)
    number.store(2)
    assert number.exchange(3) == 2
    assert number.load() == 3


def test_compare_exchange_sets_an_equal_value_and_says_so() -> None:
    number = AtomicInt(1)
    assert number.compare_exchange(1, 2)
    assert not number.compare_exchange(1, 3)
    assert number.load() == 2
    flag = AtomicFlag()
    assert flag.compare_exchange(False, True)
    assert not flag.compare_exchange(False, True)


@pytest.mark.parametrize(("method", "before", "operand", "after"), FETCHES)
def test_a_fetch_changes_the_value_and_returns_the_old_one(
    method: str, before: int, operand: int, after: int
) -> None:
    number, numbers = AtomicInt(before), AtomicIntArray(2)
    numbers.store(1, before)
    assert getattr(number, method)(operand) == before
    assert number.load() == after
    assert getattr(numbers, method)(1, operand) == before
    assert (numbers.load(0), numbers.load(1)) == (0, after)


def test_to_add_nothing_in_particular_is_to_add_one() -> None:
    number = AtomicInt()
    assert (number.fetch_add(), number.fetch_sub(), number.fetch_add(delta=4), number.load()) == (0, 1, 0, 4)


def test_an_int_may_be_anything_with_an_index() -> None:
    number = AtomicInt(Index())
    number.store(Index())
    assert number.fetch_add(True) == 7
    assert number.load() == 8


def test_update_stores_what_the_function_makes_of_the_value() -> None:
    number, real = AtomicInt(5), AtomicFloat(0.5)
    assert number.update(lambda old: old * old) == 25
    assert real.update(math.sqrt) == math.sqrt(0.5)
    assert (number.load(), real.load()) == (25, math.sqrt(0.5))


def test_update_runs_its_function_again_when_the_value_has_changed() -> None:
    number = AtomicInt(1)
    seen: list[int] = []

    def double(old: int) -> int:
        seen.append(old)
        if len(seen) == 1:
            number.store(10)  # as another thread could
        return 2 * old

    assert number.update(double) == 20
    assert seen == [1, 10]
    assert number.stats() == AtomicStats(contended=1)


def test_floats_add_and_compare_as_floats_do() -> None:
    real = AtomicFloat(0.5)
    assert real.fetch_add(0.25) == 0.5
    assert real.fetch_sub(0.5) == 0.75
    assert real.fetch_max(2.0) == 0.25
    assert real.fetch_min(-math.inf) == 2.0
    assert real.load() == -math.inf


def test_nan_equals_nan_and_zero_equals_minus_zero_in_compare_exchange() -> None:
    real = AtomicFloat(math.nan)
    assert real.compare_exchange(math.nan, -0.0)
    assert real.compare_exchange(0.0, 1.0)
    assert real.load() == 1.0


def test_nan_is_neither_greatest_nor_least() -> None:
    real = AtomicFloat(1.0)
    real.fetch_max(math.nan)
    real.fetch_min(math.nan)
    assert real.load() == 1.0


def test_a_flag_is_as_true_as_its_value() -> None:
    flag = AtomicFlag()
    assert not flag
    assert flag.exchange(True) is False
    assert flag


def test_an_array_has_numbers_that_start_at_zero() -> None:
    numbers = AtomicIntArray(3)
    numbers.store(-1, 5)
    assert len(numbers) == 3
    assert [numbers.load(place) for place in range(3)] == [0, 0, 5]
    assert [numbers.load(place) for place in (-3, -2, -1)] == [0, 0, 5]
    assert numbers.exchange(0, 1) == 0
    assert numbers.compare_exchange(0, 1, 2)
    assert numbers.update(0, lambda old: old + 1) == 3
    assert numbers.sum() == 8


def test_a_sum_may_be_bigger_than_its_numbers() -> None:
    numbers = AtomicIntArray(3)
    for place in range(3):
        numbers.store(place, MOST)
    assert numbers.sum() == 3 * MOST


# Orders


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_a_change_gives_the_same_values(order: Any) -> None:
    number = AtomicInt(1)
    assert number.exchange(2, order=order) == 1
    assert number.compare_exchange(2, 3, order=order)
    assert number.fetch_add(1, order=order) == 3
    assert number.update(lambda old: old + 1, order=order) == 5


@pytest.mark.parametrize("make", [AtomicInt, AtomicFloat, AtomicFlag])
@pytest.mark.parametrize("order", [*ORDERS, "consume", "", None, 5])
def test_loads_and_stores_refuse_orders_they_cannot_have(make: Callable[[], Any], order: Any) -> None:
    atomic = make()
    for method, arguments, allowed in (
        (atomic.load, [], {"relaxed", "acquire", "seq_cst"}),
        (atomic.store, [True], {"relaxed", "release", "seq_cst"}),
        (atomic.exchange, [True], set(ORDERS)),
    ):
        if order in allowed:
            method(*arguments, order=order)
        else:
            with pytest.raises(ValueError, match=f"order {order!r}, only 'relaxed'"):
                method(*arguments, order=order)


# Errors


@pytest.mark.parametrize(
    ("method", "value", "operand", "shown"),
    [
        ("fetch_add", MOST, 1, f"{MOST} + 1"),
        ("fetch_add", LEAST, -1, f"{LEAST} + -1"),
        ("fetch_sub", LEAST, 1, f"{LEAST} - 1"),
        ("fetch_sub", 0, LEAST, f"0 - {LEAST}"),
    ],
)
def test_a_result_beyond_64_bits_is_refused_and_changes_nothing(
    method: str, value: int, operand: int, shown: str
) -> None:
    number = AtomicInt(value)
    with pytest.raises(OverflowError) as refused:
        getattr(number, method)(operand)
    assert f"AtomicInt.{method}()" in str(refused.value)
    assert shown in str(refused.value)
    assert number.load() == value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_value_beyond_64_bits_is_refused_and_changes_nothing(value: int) -> None:
    number = AtomicInt(7)
    refused: list[Callable[[], object]] = [
        lambda: AtomicInt(value),
        lambda: number.store(value),
        lambda: number.exchange(value),
        lambda: number.compare_exchange(7, value),
        lambda: number.fetch_add(value),
        lambda: number.fetch_or(value),
        lambda: number.update(lambda old: value),
    ]
    for call in refused:
        with pytest.raises(OverflowError, match=str(value)):
            call()
    assert number.load() == 7


def test_a_full_stripe_refuses_to_count_on() -> None:
    numbers = AtomicIntArray(1)
    numbers.store(0, MOST)
    with pytest.raises(OverflowError, match=rf"AtomicIntArray.add\(\).*{MOST} \+ 1"):
        numbers.add()
    assert numbers.sum() == MOST


@pytest.mark.parametrize("wrong", ["1", None, 1.5, [], 1j])
def test_an_int_refuses_other_types(wrong: Any) -> None:
    number = AtomicInt(7)
    for call in (AtomicInt, number.store, number.exchange, number.fetch_add, number.fetch_max):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            call(wrong)
    with pytest.raises(TypeError, match=type(wrong).__name__):
        number.update(lambda old: wrong)
    assert number.load() == 7


@pytest.mark.parametrize("wrong", [0, 1, None, "True"])
def test_a_flag_refuses_what_is_neither_true_nor_false(wrong: Any) -> None:
    with pytest.raises(TypeError, match="True or False"):
        AtomicFlag().store(wrong)


@pytest.mark.parametrize("place", [2, -3, 2**70, -(2**70)])
def test_an_array_refuses_places_it_does_not_have(place: int) -> None:
    with pytest.raises(IndexError, match=rf"no number {place}, as its length is 2"):
        AtomicIntArray(2).fetch_add(place)


def test_an_array_refuses_wrong_places_and_lengths() -> None:
    with pytest.raises(TypeError, match="index, got str"):
        AtomicIntArray(2).load("0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for length in (0, -1):
        with pytest.raises(ValueError, match=f"got {length}"):
            AtomicIntArray(length)
    with pytest.raises(MemoryError):
        AtomicIntArray(2**60)


@pytest.mark.parametrize("make", NUMBERS)
def test_what_the_function_of_update_raises_reaches_the_caller(make: Callable[[Any], Any]) -> None:
    number = make(5)
    with pytest.raises(ZeroDivisionError):
        number.update(lambda old: old / 0)
    with pytest.raises(TypeError, match="wants fn"):
        number.update(None)
    assert number.load() == 5


# Threads


def test_no_change_of_any_kind_is_lost() -> None:
    number, real, numbers = AtomicInt(), AtomicFloat(), AtomicIntArray(2)
    bits = AtomicInt()

    def work(index: int) -> None:
        for n in range(500):
            number.fetch_add(3)
            number.fetch_sub(1, order="relaxed")
            number.update(lambda old: old + 1)
            real.fetch_add(0.5)
            numbers.fetch_add(n % 2)
            numbers.add(2)
            bits.fetch_or(1 << (index * 8 + n % 8))
            while True:
                old = number.load()
                if number.compare_exchange(old, old + 1):
                    break

    hammer(work, 4)
    assert number.load() == 4 * 500 * 4
    assert real.load() == 4 * 500 * 0.5
    assert numbers.sum() == 4 * 500 * 3
    assert bits.load() == 2**32 - 1


def test_the_old_values_of_a_counter_are_a_count_without_gaps() -> None:
    number = AtomicInt()
    seen = hammer(lambda index: [number.fetch_add() for _ in range(1000)], 4)
    assert sorted(value for values in seen for value in values) == list(range(4000))
    assert all(values == sorted(values) for values in seen)


def test_exactly_one_thread_raises_a_flag() -> None:
    for _ in range(50):
        flag = AtomicFlag()
        won = hammer(lambda index, flag=flag: not flag.exchange(True), 3)  # type: ignore[misc]
        assert sum(won) == 1


def test_the_greatest_value_wins_in_every_order() -> None:
    most, least = AtomicInt(), AtomicInt()

    def work(index: int) -> None:
        for n in range(1000):
            most.fetch_max(4 * n + index)
            least.fetch_min(-4 * n - index)

    hammer(work, 4)
    assert (most.load(), least.load()) == (3999, -3999)


def test_what_is_stored_before_a_release_is_seen_after_the_acquire() -> None:
    ready, data = AtomicFlag(), AtomicInt()

    def work(index: int) -> int:
        if index == 0:
            data.store(42, order="relaxed")
            ready.store(True, order="release")
        while not ready.load(order="acquire"):
            pause()
        return data.load(order="relaxed")

    for _ in range(20):
        ready.store(False)
        data.store(0)
        assert hammer(work, 3) == [42] * 3


# As objects


def test_an_atomic_shows_its_value() -> None:
    assert repr(AtomicInt(-5)) == "AtomicInt(-5)"
    assert repr(AtomicFloat(0.5)) == "AtomicFloat(0.5)"
    assert repr(AtomicFlag(True)) == "AtomicFlag(True)"
    assert repr(AtomicIntArray(2)) == "<AtomicIntArray [0, 0]>"


@pytest.mark.parametrize("make", ATOMICS)
def test_an_atomic_is_equal_to_itself_alone_and_cannot_be_copied(make: Callable[[], Any]) -> None:
    one, other = make(), make()
    assert one != other
    assert len({one, other, one}) == 2
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            copying(one)


@pytest.mark.parametrize("make", ATOMICS)
def test_an_atomic_can_be_referred_to_weakly(make: Callable[[], Any]) -> None:
    atomic = make()
    reference = weakref.ref(atomic)
    assert reference() is atomic
    del atomic
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("make", ATOMICS)
def test_a_new_atomic_has_never_been_contended(make: Callable[[], Any]) -> None:
    assert make().stats() == AtomicStats(contended=0)


def test_a_subclass_may_add_what_it_likes() -> None:
    class Named(AtomicInt):
        def __init__(self, value: int, name: str = "") -> None:
            self.name = name

        def double(self) -> int:
            return self.update(lambda old: 2 * old)

    number = Named(4)
    number.name = "four"
    assert number.double() == 8
    assert repr(number) == "Named(8)"


def test_an_atomic_made_without_init_works() -> None:
    number = AtomicInt.__new__(AtomicInt)
    assert number.fetch_add() == 0
    with pytest.raises(TypeError):
        AtomicInt(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
