"""ShardedMap's statistics of its shards, and collisions of threads in them."""

import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.kit.hammer import PATIENCE, hammer
from threadproof import DeadlockError
from threadproof.maps import ShardedMap, sharded


class TwoShards(ShardedMap[Any, Any]):
    """So few shards that any two keys probably share one."""

    shards = 2


def locks_of(m: ShardedMap[Any, Any]) -> Iterator[sharded.ShardLock]:
    return (cast(sharded.ShardLock, lock) for lock in m._locks)  # pyright: ignore[reportPrivateUsage]


def test_dense_and_sparse_ints_spread_over_all_shards() -> None:
    for step in (1, 64, 1 << 20, -3):
        stats = ShardedMap((number * step, None) for number in range(6400)).stats()
        assert stats.size == sum(stats.sizes) == 6400
        assert min(stats.sizes) > 0
        assert stats.imbalance < 1.5, f"steps of {step}: {stats.sizes}"


def test_an_empty_map_is_even() -> None:
    stats = ShardedMap[int, int]().stats()
    assert (stats.size, stats.imbalance, stats.contended) == (0, 1.0, 0)


def test_keys_of_one_hash_are_all_in_one_shard() -> None:
    modulus = sys.hash_info.modulus
    stats = ShardedMap(dict.fromkeys([5, 5 + modulus, 5 + 2 * modulus])).stats()
    assert max(stats.sizes) == 3
    assert stats.imbalance == 64


class Taken:
    """A lock that is always found taken, and then had."""

    def acquire(self, blocking: bool = True) -> bool:  # as RLock has it
        return blocking

    def release(self) -> None:
        pass

    def _is_owned(self) -> bool:
        return False


def test_every_lock_found_taken_is_counted() -> None:
    m = TwoShards()
    locks = tuple(sharded.ShardLock(Taken(), (Taken(),)) for _ in range(2))
    m._locks = locks  # pyright: ignore[reportPrivateUsage]
    m["a"] = 1  # takes a lock to look and another time to store
    assert sum(lock.contended for lock in locks) == 2
    assert m.stats().contended == 4  # and both to say so


def test_two_interrupted_threads_that_want_each_others_shard_do_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharded, "PATIENCE", 0.05)
    m = TwoShards()
    both_hold, errors = threading.Barrier(2), list[DeadlockError]()

    def interrupted(index: int) -> None:
        """Runs as a finalizer would, while the thread holds a shard."""
        locks = list(locks_of(m))
        with locks[index]:
            both_hold.wait(PATIENCE)
            try:
                len(m)
            except DeadlockError as error:
                errors.append(error)

    hammer(interrupted, 2)
    assert len(errors) >= 1
    assert "finalizer" in str(errors[0])
    assert len(m) == 0


@pytest.mark.parametrize("shards", [0, 3, -4])
def test_the_number_of_shards_is_a_power_of_two(shards: int) -> None:
    with pytest.raises(ValueError, match=f"Odd.shards must be a power of two, got {shards}"):
        type("Odd", (ShardedMap,), {"shards": shards})
