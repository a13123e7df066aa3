"""LockedMap's order, memory and locks, beyond the contract; ShardedMap has the same tables."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Callable
from copy import copy
from itertools import islice
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.kinds import LockedMapRW, ShardedMapRW
from threadproof.maps import LockedMap, ShardedMap


class Compared:
    """A key that calls a function the next time it is compared; its hash is that of 1."""

    fn: Callable[[], object] | None = None

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        fn, self.fn = self.fn, None
        if fn is not None:
            fn()
        return self is other


KINDS = pytest.mark.parametrize("kind", [LockedMap, LockedMapRW, ShardedMap, ShardedMapRW])


@pytest.mark.parametrize("kind", [LockedMap, LockedMapRW])
def test_the_order_is_that_of_insertion_as_in_a_dict(kind: type[LockedMap[int, int]], seed: int) -> None:
    chance, m, d = random.Random(seed), kind(), dict[int, int]()
    for step in range(20_000):
        key = chance.randrange(1 + step % 3_000)
        if chance.random() < 0.6:
            m[key] = d[key] = step
        else:
            assert m.pop(key, None) == d.pop(key, None)
        if step % 1_000 == 0:
            m.check()
            assert list(m.items()) == list(m.snapshot().items()) == list(d.items())
    assert list(m.drain()) == list(d)


@KINDS
def test_an_iteration_does_not_end_and_see_no_key_twice_while_keys_go_and_come_back(kind: Any) -> None:
    m = kind.fromkeys(range(1_000))
    seen = []
    for key in m:
        seen.append(key)
        for each in islice(m.keys(), 2):  # to the end of the order
            m[each] = m.pop(each)
    assert len(seen) == len(set(seen))
    m.check()


@KINDS
def test_deleted_entries_give_their_memory_back(kind: Any) -> None:
    m = kind()
    empty = m.stats().bytes
    m.update(dict.fromkeys(range(100_000)))
    full = m.stats().bytes
    m.delete_many(range(99_000))
    assert m.stats().bytes - empty < (full - empty) / 10
    m.clear()
    assert m.stats().bytes == empty


@KINDS
def test_a_comparison_runs_with_no_lock_held(kind: Any) -> None:
    m = kind()
    seen: list[Any] = []

    def use_from_another_thread() -> None:
        thread = threading.Thread(target=lambda: seen.extend([len(m), m.swap(1, "new", "nothing")]))
        thread.start()
        thread.join()

    m[stored := Compared()] = "old"
    stored.fn = use_from_another_thread
    assert m.get(Compared()) is None
    stored.fn = use_from_another_thread
    m[Compared()] = "second"
    assert seen == [1, "nothing", 2, "new"]
    m.check()


@pytest.mark.parametrize("kind", [LockedMapRW, ShardedMapRW])
def test_a_class_has_its_kind_of_lock_and_so_have_copies_of_its_maps(kind: Any) -> None:
    m = kind(a=1)
    for other in (copy(m), m.copy(), pickle.loads(pickle.dumps(m)), m | {"b": 2}):
        assert type(other) is kind
        other.check()


def test_other_locks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Odd\.lock must be 'mutex', or 'rw' for .*, got 'spin'"):
        type("Odd", (LockedMap,), {"lock": "spin"})
    late: Any = type("Late", (LockedMap,), {})
    late.lock = 5
    with pytest.raises(ValueError, match=r"Late\.lock must be 'mutex' or 'rw', got 5"):
        late()


@KINDS
def test_threads_that_read_and_write_the_same_keys_see_whole_values(kind: Any) -> None:
    m = kind({number: (number, 0) for number in range(8)})

    def work(index: int) -> None:
        for step in range(3_000):
            number = step % 8
            if step % 4 == index:
                m[number] = (number, step)
            assert m[number][0] == number

    hammer(work, 4)
    m.check()
