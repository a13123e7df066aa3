"""The most frequent keys of a map, from a session that ends and leaves no trace."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections import Counter
from typing import Any

import pytest

from threadproof import ConcurrentMap, HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.sync import AtomicInt
from threadproof.watch import hot_keys
from threadproof.watch.key_sampling import begin, end
from threadproof.watch.space_saving import SpaceSaving

MAPS = [HashMap, SyncMap, LockedMap, ShardedMap, SnapshotMap]


@pytest.mark.parametrize("kind", MAPS)
def test_the_keys_of_a_session_are_noted_and_then_no_more(kind: type[ConcurrentMap[str, int]]) -> None:
    m = kind(a=1, b=2)
    session = begin(m, 1)
    try:
        assert m["a"] == m.get("a") == 1
        m["b"] = 3
        assert "b" in m
        assert m.pop("a") == 1
        assert m.add("c") == 1
        assert m.compute_if_absent("d", len) == 1
    finally:
        end(m)
    assert [*map(str, session.keys)][:6] == ["a", "a", "b", "b", "a", "c"]
    assert "d" in session.keys
    noted = len(session.keys)
    assert m["b"] == 3
    assert len(session.keys) == noted
    assert type(m) is kind


@pytest.mark.parametrize("kind", MAPS)
def test_copies_made_in_a_session_are_ordinary_maps(kind: type[ConcurrentMap[str, int]]) -> None:
    m = kind(a=1)
    begin(m, 1)
    try:
        assert isinstance(m, kind)
        made = [copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))]
    finally:
        end(m)
    assert [type(each) for each in made] == [kind] * 3
    assert all(each == {"a": 1} for each in made)


def test_threads_use_the_map_while_sessions_begin_and_end() -> None:
    m: HashMap[int, int] = HashMap()
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            m.add(7)
            m.add(threading.get_ident())

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        found = [hot_keys(m, 0.02, every=1) for _ in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    counted = [hot for hot in found if hot.calls > 100]
    assert all(7 in [each.key for each in hot.top[:2]] for hot in counted)  # as often as one running thread
    assert m[7] == sum(value for key, value in m.items() if key != 7)


def test_one_session_at_a_time() -> None:
    m = HashMap(a=1)
    begin(m, 1)
    try:
        with pytest.raises(RuntimeError, match="the keys of this HashMap are being sampled already"):
            hot_keys(m, 0.01)
    finally:
        end(m)


@pytest.mark.parametrize(
    ("structure", "seconds", "error", "message"),
    [
        (AtomicInt(), 1, TypeError, "needs a map, and a AtomicInt has no keys"),
        ({}, 1, TypeError, "the class of a dict cannot be replaced"),
        (HashMap(), 0, ValueError, "needs seconds above 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    structure: Any, seconds: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hot_keys(structure, seconds)


def test_space_saving_counts_no_key_too_low_and_keeps_the_frequent(seed: int) -> None:
    rng, counters, exact = random.Random(seed), SpaceSaving(16), Counter[int]()
    for _ in range(5000):
        key = min(int(rng.paretovariate(0.8)), 10_000)
        counters.add(key)
        exact[key] += 1
    top = {each.key: each for each in counters.top(16)}
    assert all(each.count - each.error <= exact[int(str(key))] <= each.count for key, each in top.items())
    assert all(key in top for key, count in exact.items() if count > counters.total / 16)
