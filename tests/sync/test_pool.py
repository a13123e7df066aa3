"""Pool: objects go round, one user at a time, and no more are kept than there may be."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.kit.waiting import run_program
from threadproof.sync import Pool, PoolStats, dict_pool


class Thing:
    """An object that knows whether it is in use."""

    def __init__(self) -> None:
        self.users = 0


def test_an_object_that_was_put_back_is_got_again() -> None:
    pool = Pool(Thing)
    first = pool.get()
    second = pool.get()
    assert first is not second
    pool.put(first)
    assert pool.get() is first
    assert pool.stats() == PoolStats(shared=0, made=2, dropped=0, contended=0)


def test_objects_are_reset_when_they_are_put_back() -> None:
    pool = Pool(list[int], list.clear)
    numbers = pool.get()
    numbers.append(1)
    pool.put(numbers)
    assert numbers == []
    assert pool.get() is numbers


def test_a_block_puts_its_object_back() -> None:
    pool = Pool(Thing)
    with pool.use() as first, pool.use() as second:
        assert first is not second
    assert {pool.get(), pool.get()} == {first, second}


def test_an_object_whose_block_raised_is_dropped() -> None:
    pool = Pool(Thing)
    with pytest.raises(ZeroDivisionError), pool.use() as thing:
        raise ZeroDivisionError
    assert pool.get() is not thing
    assert pool.stats().dropped == 1


def test_what_make_and_reset_raise_reaches_the_caller() -> None:
    def fail(*arguments: object) -> Any:
        raise LookupError("failed")

    with pytest.raises(LookupError):
        Pool(fail).get()
    pool = Pool(Thing, fail)
    thing = pool.get()
    with pytest.raises(LookupError):
        pool.put(thing)
    assert pool.get() is not thing


def test_a_full_cache_goes_to_the_shared_list_and_on_to_another_thread() -> None:
    pool = Pool(Thing, keep=10, keep_local=2)
    things = [pool.get() for _ in range(6)]
    for thing in things:
        pool.put(thing)
    assert pool.stats().shared == 4
    got: list[Thing] = []
    thread = threading.Thread(target=lambda: got.extend(pool.get() for _ in range(5)))
    thread.start()
    thread.join()
    assert set(got[:4]) == set(things[:4])
    assert got[4] not in things
    assert pool.stats() == PoolStats(shared=0, made=7, dropped=0, contended=0)


def test_no_more_objects_are_kept_than_the_bound() -> None:
    pool = Pool(Thing, keep=5, keep_local=2)
    things = [pool.get() for _ in range(20)]
    watched = [weakref.ref(thing) for thing in things]
    while things:
        pool.put(things.pop())
    gc.collect()
    kept = sum(watch() is not None for watch in watched)
    assert pool.stats() == PoolStats(shared=4, made=20, dropped=14, contended=0)
    assert kept == 6


def test_a_pool_that_keeps_nothing_still_works() -> None:
    pool = Pool(Thing, keep=0, keep_local=1)
    first, second = pool.get(), pool.get()
    pool.put(first)
    pool.put(second)
    assert pool.get() is second
    assert pool.get() is not first


@pytest.mark.parametrize(("keep", "keep_local"), [(-1, 1), (1, 0), (0, -5)])
def test_a_wrong_bound_is_refused(keep: int, keep_local: int) -> None:
    with pytest.raises(ValueError, match=f"got {keep} and {keep_local}"):
        Pool(Thing, keep=keep, keep_local=keep_local)


def test_no_object_is_ever_in_use_twice() -> None:
    pool = Pool(Thing, keep=16, keep_local=2)

    def work(index: int) -> None:
        for n in range(1000):
            things = [pool.get() for _ in range(1 + n % 4)]
            for thing in things:
                thing.users += 1
                assert thing.users == 1
            for thing in things:
                thing.users -= 1
                pool.put(thing)

    hammer(work, 4)
    stats = pool.stats()
    assert stats.shared <= 16
    assert stats.dropped <= stats.made


def test_a_cache_ends_with_its_thread() -> None:
    pool = Pool(Thing)
    watched: list[weakref.ref[Thing]] = []

    def work() -> None:
        thing = pool.get()
        watched.append(weakref.ref(thing))
        pool.put(thing)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    del thread
    gc.collect()
    assert watched[0]() is None


def test_an_object_may_be_put_back_by_a_finalizer() -> None:
    pool = Pool(Thing, keep_local=1)

    class Owner:
        def __init__(self) -> None:
            self.thing = pool.get()

        def __del__(self) -> None:
            pool.put(self.thing)

    def reset(thing: Thing) -> None:
        owners.clear()  # in the midst of another put

    owners = [Owner(), Owner()]
    outer = Pool(Thing, reset)
    outer.put(outer.get())
    assert pool.stats() == PoolStats(shared=1, made=2, dropped=0, contended=0)


def test_a_finalizer_in_the_midst_of_get_does_not_give_its_object_to_two() -> None:
    pool = Pool(Thing, keep_local=1)
    shared, users = pool._shared, list[Thing]()  # pyright: ignore[reportPrivateUsage]

    class Interrupted:
        """The shared list; at the first look at it a finalizer runs, and then another thread comes."""

        def load(self) -> Any:
            if not users:
                users.append(Thing())  # this also says that it has run
                pool.put(users.pop())
                users.append(Thing())
                pool.put(users[0])
                with ThreadPoolExecutor(1) as other:
                    users[0] = other.submit(pool.get).result(PATIENCE)
            return shared.load()

        def compare_exchange(self, expected: Any, new: Any) -> bool:
            return shared.compare_exchange(expected, new)

    pool._shared = Interrupted()  # type: ignore[assignment]  # pyright: ignore
    assert pool.get() is not users[0]


def test_one_use_is_for_one_block_at_a_time() -> None:
    pool = Pool(Thing)
    use = pool.use()
    with use as thing, pytest.raises(RuntimeError, match="one block at a time"), use:
        pass
    with use as again:
        assert again is thing


def test_an_object_that_reset_refuses_is_dropped_and_counted() -> None:
    def refuse(thing: Thing) -> None:
        raise LookupError("broken")

    pool = Pool(Thing, refuse)
    with pytest.raises(LookupError, match="broken"):
        pool.put(pool.get())
    assert pool.stats() == PoolStats(shared=0, made=1, dropped=1, contended=0)


def test_a_dict_pool_gives_empty_dicts() -> None:
    pool = dict_pool()
    with pool.use() as words:
        words["a"] = Thing()
        watched = weakref.ref(words["a"])
    assert watched() is None
    with pool.use() as again:
        assert again is words
        assert again == {}


def test_parent_and_child_of_a_fork_both_have_the_idle_objects() -> None:
    printed = run_program("""
        import os
        from threadproof.sync import Pool
        pool = Pool(list)
        pool.put(["kept"])
        child = os.fork()
        if child == 0:
            print(pool.get(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(pool.get())
    """)
    assert printed.split("\n") == ["['kept']", "['kept']"]


def test_an_async_function_is_refused() -> None:
    async def make() -> int:
        return 1

    with pytest.raises(TypeError, match="make is async"):
        Pool(make)
    with pytest.raises(TypeError, match=r"make at .* is async"):
        Pool(int, partial(make))  # pyright: ignore[reportArgumentType]
