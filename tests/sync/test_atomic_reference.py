"""AtomicReference: identity, objects that die at the right time, and readers beside writers."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import hammer
from threadproof.sync import AtomicFlag, AtomicReference


class Thing:
    """Something that can be watched dying."""


def test_a_reference_holds_none_or_what_it_is_given() -> None:
    thing = Thing()
    assert AtomicReference[None]().load() is None
    assert AtomicReference(thing).load() is thing
    reference = AtomicReference[Any](1)
    reference.store(thing)
    assert reference.exchange(None) is thing
    assert reference.load() is None


def test_compare_exchange_goes_by_identity() -> None:
    first, equal, other = [1], [1], [2]
    reference = AtomicReference(first)
    assert not reference.compare_exchange(equal, other)
    assert reference.load() is first
    assert reference.compare_exchange(first, other)
    assert reference.load() is other


def test_update_runs_its_function_again_when_the_object_is_another() -> None:
    reference = AtomicReference[tuple[int, ...]](())
    seen: list[tuple[int, ...]] = []

    def append(old: tuple[int, ...]) -> tuple[int, ...]:
        seen.append(old)
        if len(seen) == 1:
            reference.store((1,))  # as another thread could
        return (*old, 2)

    assert reference.update(append) == (1, 2)
    assert seen == [(), (1,)]
    assert reference.load() == (1, 2)
    assert reference.stats().contended == 1


def test_what_the_function_of_update_raises_reaches_the_caller() -> None:
    thing = Thing()
    reference = AtomicReference[Any](thing)
    with pytest.raises(ZeroDivisionError):
        reference.update(lambda old: 1 / 0)
    with pytest.raises(TypeError, match="wants fn"):
        reference.update(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert reference.load() is thing


@pytest.mark.parametrize("replace", ["store", "exchange", "compare_exchange", "update"])
def test_an_object_dies_when_it_is_replaced(replace: str) -> None:
    reference = AtomicReference[Any](Thing())
    watched = weakref.ref(reference.load())
    replacing: dict[str, Callable[[], object]] = {
        "store": lambda: reference.store(None),
        "exchange": lambda: reference.exchange(None),
        "compare_exchange": lambda: reference.compare_exchange(watched(), None),
        "update": lambda: reference.update(lambda old: None),
    }
    replacing[replace]()
    assert watched() is None


def test_no_operation_keeps_a_reference_too_many_or_too_few() -> None:
    thing, other = Thing(), Thing()
    before = sys.getrefcount(thing), sys.getrefcount(other)
    reference = AtomicReference[Any](thing)
    for _ in range(100):
        reference.store(other)
        assert reference.load() is other
        reference.compare_exchange(thing, other)
        reference.compare_exchange(other, thing)
        assert reference.exchange(thing) is thing
        reference.update(lambda old: other)
    del reference
    gc.collect()
    assert (sys.getrefcount(thing), sys.getrefcount(other)) == before


def test_a_cycle_through_a_reference_is_collected() -> None:
    reference = AtomicReference[Any]()
    thing = Thing()
    thing.reference = reference  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    reference.store(thing)
    watched = weakref.ref(thing)
    del thing, reference
    gc.collect()
    assert watched() is None


def test_an_object_may_use_the_reference_it_is_dropped_from() -> None:
    reference = AtomicReference[Any]()
    seen: list[object] = []

    class Last:
        def __del__(self) -> None:
            seen.append(reference.exchange("late"))

    reference.store(Last())
    reference.store("new")
    assert seen == ["new"]
    assert reference.load() == "late"


def test_references_to_references_die_with_no_deep_recursion() -> None:
    reference = AtomicReference[Any]()
    for _ in range(300_000):
        reference = AtomicReference(reference)
    watched = weakref.ref(reference)
    del reference
    assert watched() is None


def test_a_reference_shows_its_object_even_if_that_is_itself() -> None:
    reference = AtomicReference[Any]([1])
    assert repr(reference) == "AtomicReference([1])"
    reference.store(reference)
    assert repr(reference) == "AtomicReference(AtomicReference(...))"
    reference.store(None)


def test_a_reference_type_can_be_subscripted_at_run_time() -> None:
    assert AtomicReference[int].__args__ == (int,)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def test_readers_never_get_an_object_of_another_reference() -> None:
    """A replaced object often dies while a reader reaches for it, and its memory becomes another object."""
    references = [AtomicReference[list[int]]([side]) for side in range(2)]
    done = AtomicFlag()

    def work(index: int) -> None:
        side = index % 2
        if index < 2:
            for _ in range(30000):
                references[0].store([0])
                references[1].store([1])
            done.store(True)
        while not done:
            assert references[side].load() == [side]

    hammer(work, 4)


def test_no_update_is_lost_and_none_is_done_twice() -> None:
    reference = AtomicReference[tuple[int, int]]((0, 0))

    def work(index: int) -> None:
        for _ in range(1000):
            reference.update(lambda old: (old[0] + 1, old[1] - 1))

    hammer(work, 4)
    assert reference.load() == (4000, -4000)


def test_an_object_is_taken_out_by_exactly_one_thread() -> None:
    reference = AtomicReference[Any](None)

    def work(index: int) -> list[int]:
        taken = [reference.exchange(index * 1000 + n) for n in range(1000)]
        return [value for value in taken if value is not None]

    taken = [value for values in hammer(work, 4) for value in values]
    assert sorted([*taken, reference.load()]) == list(range(4000))
