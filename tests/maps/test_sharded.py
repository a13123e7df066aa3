"""ShardedMap's statistics of its shards, and collisions of threads in them."""

import sys
from typing import Any

import pytest

from tests.kit.hammer import hammer
from threadproof.maps import ShardedMap

ROUNDS = 200  # until two threads of a busy machine run at one time: the first round is enough nearly always


class TwoShards(ShardedMap[Any, Any]):
    """So few shards that any two keys probably share one."""

    shards = 2


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


def test_a_lock_found_taken_is_counted_and_no_other() -> None:
    m = TwoShards()

    def write(index: int) -> None:
        for number in range(10_000):
            m[number] = index

    hammer(write, 1)
    assert m.stats().contended == 0
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        hammer(write, 2)
        assert m.stats().contended == 0
        return
    for _ in range(ROUNDS):
        hammer(write, 2)
        if m.stats().contended:
            break
    assert 0 < m.stats().contended <= 2 * ROUNDS * 10_000
    assert m.stats().size == 10_000


@pytest.mark.parametrize("shards", [0, 3, -4, 1 << 17])
def test_the_number_of_shards_is_a_power_of_two(shards: int) -> None:
    with pytest.raises(ValueError, match=rf"Odd\.shards must be a power of two, at most 65536, got {shards}"):
        type("Odd", (ShardedMap,), {"shards": shards})
    late: Any = type("Late", (ShardedMap,), {})
    late.shards = shards
    with pytest.raises(
        ValueError, match=rf"Late\.shards must be a power of two, at most 65536, got {shards}"
    ):
        late()
