"""Counts are sent and then cleared, while another thread goes on counting.

Promise: every count is sent or stays in the map, and no older count stays when a newer one is removed.
"""

from meanwhile import meanwhile, report
from threadproof import HashMap


def naive_copy_then_clear() -> None:
    counts = {"a": 1}
    sent = dict(counts)
    meanwhile(lambda: counts.update(b=1))
    counts.clear()
    assert sent | counts == {"a": 1, "b": 1}, "b was counted, and is neither sent nor there"


def naive_clear_part_by_part() -> None:
    """As a sharded map does if its `clear` locks one shard after the other."""
    shards: tuple[dict[str, int], dict[str, int]] = {"a": 1}, {"b": 1}

    def count_old_and_then_new() -> None:
        shards[0]["old"] = 1
        shards[1]["new"] = 1

    shards[0].clear()
    meanwhile(count_old_and_then_new)
    shards[1].clear()
    left = shards[0] | shards[1]
    assert "old" not in left or "new" in left, "the older count stays, and the newer one is gone"


def fixed() -> None:
    counts: HashMap[str, int] = HashMap(a=1)
    meanwhile(lambda: counts.add("b"))
    sent = counts.drain()  # removes and returns everything, in one atomic step
    meanwhile(lambda: counts.add("c"))
    assert sent == {"a": 1, "b": 1}
    assert counts == {"c": 1}


if __name__ == "__main__":
    report(naive_copy_then_clear, naive_clear_part_by_part, fixed)
