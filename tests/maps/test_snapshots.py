"""SnapshotMap's promises beyond the contract: snapshots in constant time, transactions, and differences."""

from __future__ import annotations

import copy
import gc
import pickle
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.hammer import hammer
from tests.maps.computations import computing
from tests.maps.keys import Key
from threadproof import REMOVE, SnapshotMap
from threadproof.maps import ConflictError, Diff, Snapshot, diff

Map = SnapshotMap[Any, Any]


class Thing:
    """A value that can be watched by a weak reference."""


def version_of(it: Map | Snapshot[Any, Any]) -> object:
    return it.snapshot()._version if isinstance(it, SnapshotMap) else it._version  # pyright: ignore[reportPrivateUsage]


# Snapshots


def test_a_snapshot_is_a_reference_to_the_version_and_no_copy() -> None:
    m: Map = SnapshotMap(dict.fromkeys(range(1000)))
    assert version_of(m.snapshot()) is version_of(m.snapshot())
    assert version_of(SnapshotMap(m.snapshot())) is version_of(m)
    assert version_of(SnapshotMap(m)) is version_of(m)


def test_a_map_made_from_a_snapshot_goes_its_own_way() -> None:
    m: Map = SnapshotMap(a=1, b=2)
    twin = SnapshotMap(m.snapshot(), c=3)
    m["a"] = 10
    del twin["b"]
    assert m == {"a": 10, "b": 2}
    assert twin == {"a": 1, "c": 3}


def test_a_map_that_has_entries_takes_those_of_a_snapshot_besides() -> None:
    m: Map = SnapshotMap(a=1)
    m.__init__(SnapshotMap(b=2).snapshot())  # type: ignore[misc]
    assert m == {"a": 1, "b": 2}


def test_a_snapshot_is_a_key_of_a_dict_if_its_values_are() -> None:
    keys = [Key(number, number & 7) for number in range(100)]
    one: Map = SnapshotMap.fromkeys(keys, 1)
    other: Map = SnapshotMap.fromkeys(reversed(keys), 1)
    assert {one.snapshot(): "found"}[other.snapshot()] == "found"
    assert hash(one.snapshot()) == hash(Snapshot(other))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Snapshot(a=[]))


def test_a_snapshot_is_a_mapping() -> None:
    s: Snapshot[Any, Any] = Snapshot({"a": 1, None: 2})
    assert (s["a"], s.get("z", 3), "a" in s, "z" in s, len(s)) == (1, 3, True, False, 2)
    assert sorted(s.values()) == [1, 2]
    assert s.items() == {("a", 1), (None, 2)}
    assert s == {"a": 1, None: 2} == s
    assert s != {"a": 1}
    assert repr(Snapshot(a=1)) == "Snapshot({'a': 1})"
    with pytest.raises(KeyError, match="z"):
        s["z"]
    assert not hasattr(s, "__dict__")


def test_copies_of_a_snapshot_are_equal() -> None:
    s: Snapshot[Any, Any] = Snapshot(a=[1])
    for new in (copy.copy(s), copy.deepcopy(s), pickle.loads(pickle.dumps(s))):
        assert type(new) is Snapshot
        assert new == s


def test_a_snapshot_taken_during_a_computation_has_the_old_value_for_good() -> None:
    m: Map = SnapshotMap(k="old")
    with computing(m, "k", "new"), computing(m, "other", 1):
        s = m.snapshot()
    assert m == {"k": "new", "other": 1}
    assert s == {"k": "old"}
    assert (s["k"], len(s), "other" in s) == ("old", 1, False)


def test_a_copy_made_during_a_computation_does_not_wait_for_it() -> None:
    m: Map = SnapshotMap(k=1)
    with computing(m, "k", 2), computing(m, "other", 2):
        twin = SnapshotMap(m)
        twin["k"] = 3
        twin.compute("other", lambda old: (old, 4))
        assert twin.popitem() in [("k", 3), ("other", (None, 4))]
        assert len(twin.drain()) == 1
    assert m == {"k": 2, "other": 2}


def test_what_a_snapshot_kept_alive_dies_with_it() -> None:
    m: Map = SnapshotMap(k=Thing())
    s, reference = m.snapshot(), weakref.ref(m["k"])
    m.clear()
    assert reference() is s["k"]
    del s
    assert reference() is None


def test_a_cycle_through_a_snapshot_is_collected() -> None:
    m: Map = SnapshotMap(k=Thing())
    reference = weakref.ref(m["k"])
    m["snapshots"] = [m.snapshot()]
    m["snapshots"].append(m.snapshot())
    del m
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("make", [SnapshotMap, Snapshot])
def test_maps_in_maps_die_with_no_deep_recursion(make: Any) -> None:
    nested = make()
    for _ in range(100_000):
        nested = make(inside=nested)
    reference = weakref.ref(nested)
    del nested
    gc.collect()
    assert reference() is None


def test_threads_that_share_an_iterator_get_each_entry_once() -> None:
    m: Map = SnapshotMap.fromkeys(range(5000))
    entries = iter(m.items())
    seen = hammer(lambda index: [key for key, _ in entries], 3)
    assert sorted(key for keys in seen for key in keys) == list(range(5000))


def test_the_native_steps_refuse_anything_but_chains_and_versions() -> None:
    m: Any = SnapshotMap(a=1)
    wrong: list[Callable[[], object]] = [
        lambda: m._put(1, (1,), (), 0),
        lambda: m._put(1, (), [], 0),
        lambda: m._advance(m._version(), m),
        lambda: Snapshot._of(m),
    ]
    for call in wrong:
        with pytest.raises(TypeError, match="wanted a"):
            call()
    assert m == {"a": 1}


def test_replaced_values_die_though_other_threads_read() -> None:
    m: Map = SnapshotMap.fromkeys(range(100))
    stop: list[bool] = []

    def read() -> None:
        while not stop:
            for key in range(100):
                m.get(key)

    def write() -> None:
        try:
            for number in range(2000):
                thing = Thing()
                reference = weakref.ref(thing)
                m[number % 100] = thing
                del thing
                m[number % 100] = None
                if reference() is not None:  # a reader may have it just now; but it must let go of it
                    survivors.append(reference)
        finally:
            stop.append(True)

    survivors: list[weakref.ref[Thing]] = []
    hammer(lambda index: (write, read, read)[index](), 3)
    assert [reference() for reference in survivors if reference() is not None] == []


# Transactions


def test_a_transaction_is_seen_as_a_whole_and_only_at_its_end() -> None:
    m: Map = SnapshotMap(a=1, b=2)
    with m.transaction() as t:
        t["a"] = 10
        del t["b"]
        t.add("c", 3)
        assert t == {"a": 10, "c": 3}
        assert m == {"a": 1, "b": 2}
    assert m == {"a": 10, "c": 3}
    m.check()


def test_a_transaction_that_raises_has_done_nothing() -> None:
    m: Map = SnapshotMap(a=1)
    with pytest.raises(ZeroDivisionError), m.transaction() as t:
        t["a"] = 1 // 0 if t.swap("a", 2) else None
    assert m == {"a": 1}


def test_what_others_did_meanwhile_to_other_keys_stays() -> None:
    for base in range(0, 40, 4):  # hashes on ways of all kinds through the trie
        m: Map = SnapshotMap({base: 0, base + 32: 0, base + 33: 0})
        with m.transaction() as t:
            t[base] = "t"
            t[base + 1024] = "t"
            del t[base + 32]
            m[base + 33] = m[base + 64] = "m"
        assert m == {base: "t", base + 1024: "t", base + 33: "m", base + 64: "m"}
        m.check()


@pytest.mark.parametrize("write", [lambda m: m.update(k=2), lambda m: m.pop("k"), lambda m: m.clear()])
@pytest.mark.parametrize("change", [lambda t: t.add("k"), lambda t: t.pop("k"), lambda t: t.update(k=t["k"])])
def test_a_transaction_that_another_thread_overtook_at_its_key_is_refused(change: Any, write: Any) -> None:
    m: Map = SnapshotMap(k=1, other=1)

    def begin() -> None:
        with m.transaction() as t:
            change(t)
            t["new"] = 1
            write(m)

    with pytest.raises(ConflictError, match="'k', which was changed"):
        begin()
    after: Map = SnapshotMap(k=1, other=1)
    write(after)
    assert m == after


def test_a_transaction_does_not_overtake_a_computation_at_its_key() -> None:
    m: Map = SnapshotMap(k=1)

    def begin() -> None:
        with m.transaction() as t:
            t["k"] = 3
            t["new"] = 3

    with computing(m, "k", 2), pytest.raises(ConflictError, match="'k', which is being computed"):
        begin()
    assert m == {"k": 2}


def test_a_computation_goes_on_when_a_transaction_changes_a_key_of_the_same_hash() -> None:
    k, other = Key(1), Key(2)
    m: Map = SnapshotMap({k: 1})
    with computing(m, k, 2), m.transaction() as t:
        t[other] = 3
    assert m == {k: 2, other: 3}


def test_a_transaction_may_be_in_another() -> None:
    m: Map = SnapshotMap(a=1)
    with m.transaction() as outer:
        with outer.transaction() as inner:
            inner["a"] = 2
        assert m["a"] == 1
    assert m["a"] == 2


def test_transfers_between_accounts_lose_nothing_and_are_never_seen_half_done(seed: int) -> None:
    accounts = 5
    m: Map = SnapshotMap.fromkeys(range(accounts), 100)

    def transfer(chance: random.Random) -> None:
        source, target = chance.sample(range(accounts), 2)
        try:
            with m.transaction() as t:
                t.add(source, -1)
                t.add(target, 1)
        except ConflictError:
            pass

    def work(index: int) -> None:
        chance = random.Random(seed + index)
        for _ in range(500):
            transfer(chance)
            assert sum(m.snapshot().values()) == 100 * accounts

    hammer(work, 3)
    m.check()


@pytest.mark.parametrize("size", [0, 1, 33, 3000])
def test_a_snapshot_taken_in_a_transaction_does_not_see_what_it_does_later(size: int) -> None:
    m: Map = SnapshotMap.fromkeys(range(size), 0)
    with m.transaction() as t:
        seen = []
        for key in range(0, size + 50, 3):
            t[key] = "new"
            if key % 7 == 0:
                t.pop(key // 2, None)
            if key % 30 == 0:
                seen.append((t.snapshot(), dict(t)))
        for snapshot, entries in seen:
            assert snapshot == entries
        assert m == dict.fromkeys(range(size), 0)
        wanted = dict(t)
    assert m == wanted
    t["later"] = 1
    assert m == wanted
    m.check()
    t.check()


def test_a_comparison_in_a_transaction_may_use_the_map_and_begin_another(seed: int) -> None:
    chance = random.Random(seed)
    m: Map = SnapshotMap()

    class Meddler(Key):
        def __eq__(self, other: object) -> bool:
            if maps and chance.random() < 0.2:
                which = chance.randrange(2)
                maps[which][100 * which + chance.randrange(100, 150)] = chance.random()
                maps[0].snapshot()
                with m.transaction() as inner:
                    inner[chance.randrange(1000, 2000)] = 1
            return super().__eq__(other)

        __hash__ = Key.__hash__

    maps: list[Map] = []
    with m.transaction() as t:
        maps += [t, m]
        for number in range(300):
            t[Meddler(number % 60, number % 5)] = number
        maps.clear()
        written = {key: t[key] for key in t if isinstance(key, Meddler)}
    assert len(written) == 60
    assert written.items() <= m.items()
    m.check()


def test_a_transaction_whose_key_cannot_be_compared_has_done_nothing() -> None:
    class Bad(Key):
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = Key.__hash__

    m: Map = SnapshotMap({Key(1, 7): 1, "a": 1})
    before = m.snapshot()

    def begin() -> None:
        with m.transaction() as t:
            t["a"] = 2
            t.set_many(["b", Bad(2, 7), "c"], [1, 2, 3])

    with pytest.raises(ZeroDivisionError):
        begin()
    assert m.snapshot() == before


def test_threads_that_share_a_transactions_map_lose_nothing() -> None:
    m: Map = SnapshotMap()
    with m.transaction() as t:

        def work(index: int) -> None:
            for number in range(2000):
                t[index, number] = number
                t.add("sum")
                if number % 100 == 0:
                    assert sum(key != "sum" for key in t.snapshot()) >= number

        hammer(work, 3)
    assert len(m) == 6001
    assert m["sum"] == 6000
    m.check()


# Building


class Pairs(Key):
    """Two items, but no tuple."""

    def __iter__(self) -> Any:
        return iter((self.number, "pair"))


BUILT: dict[str, Callable[[dict[Any, Any]], Map]] = {
    "a mapping": SnapshotMap,
    "a list of pairs": lambda d: SnapshotMap(list(d.items())),
    "a generator of pairs": lambda d: SnapshotMap(item for item in d.items()),
    "keywords": lambda d: SnapshotMap(
        {k: v for k, v in d.items() if type(k) is not str}, **{k: v for k, v in d.items() if type(k) is str}
    ),
    "|=": lambda d: SnapshotMap().__ior__(d),
    "|": lambda d: SnapshotMap() | d,
    "another map": lambda d: SnapshotMap() | SnapshotMap(d),
    "set_many": lambda d: built(lambda m: m.set_many(iter(d), list(d.values()))),
    "twice": lambda d: built(lambda m: m.__ior__(dict.fromkeys(d)).update(d)),
    "pickle": lambda d: pickle.loads(pickle.dumps(SnapshotMap(d))),
    "copy": lambda d: SnapshotMap(d).copy(),
    "deepcopy": lambda d: copy.deepcopy(SnapshotMap(d)),
}


def built(by: Callable[[Map], object]) -> Map:
    m: Map = SnapshotMap()
    by(m)
    return m


@pytest.mark.parametrize("way", BUILT)
@pytest.mark.parametrize("size", [0, 1, 40, 3000])
def test_a_map_built_of_many_entries_has_them(way: str, size: int) -> None:
    entries: dict[Any, Any] = {number * 2**20: number for number in range(size)}
    entries |= {f"key{number}": None for number in range(size)}
    m = BUILT[way](entries)
    assert m == entries
    assert len(m) == len(entries)
    m.check()


def test_a_map_of_one_value_has_it_at_each_key() -> None:
    assert SnapshotMap.fromkeys("abca", 1) == {"a": 1, "b": 1, "c": 1}
    assert SnapshotMap.fromkeys(iter([1, 2])) == {1: None, 2: None}


def test_pairs_that_are_no_tuples_are_taken_and_refused_as_by_a_dict() -> None:
    mixed: Any = [(1, 2), [3, 4], Pairs(5), (6, 7)]
    assert SnapshotMap(mixed) == {1: 2, 3: 4, 5: "pair", 6: 7}
    m: Map = SnapshotMap()
    with pytest.raises(ValueError, match="element 2 is"):
        m.update([(1, 2), [3, 4], (5,), (6, 7)])  # type: ignore[list-item]
    assert m == {1: 2, 3: 4}


def test_a_copy_has_the_attributes_and_shares_the_entries() -> None:
    class Named(SnapshotMap[Any, Any]):
        name: str

    m = Named(a=1)
    m.name = "n"
    twin = m.copy()
    assert (type(twin), twin.name) == (Named, "n")
    assert twin == m
    assert version_of(twin) is version_of(m)
    twin["a"] = 2
    m["b"] = 3
    assert m == {"a": 1, "b": 3}
    assert twin == {"a": 2}


def test_the_stored_key_stays_when_an_equal_one_is_stored() -> None:
    m: Map = SnapshotMap({1: "int"})
    m[True] = "bool"
    m[1.0] = "float"
    assert repr(m) == "SnapshotMap({1: 'float'})"


def test_the_length_is_never_ahead_of_what_is_there_nor_behind() -> None:
    m: Map = SnapshotMap()
    done: list[bool] = []

    def grow() -> None:
        for number in range(20_000):
            m[number] = number
        done.append(True)

    def look() -> None:
        while not done:
            least = len(m)
            assert least == 0 or least - 1 in m
            assert len(m.snapshot()) >= least

    hammer(lambda index: (grow, look, look)[index](), 3)


# Differences


def test_a_difference_has_the_added_removed_and_changed_entries() -> None:
    m: Map = SnapshotMap(same=1, goes=2, changes=3, equal=4)
    before = m.snapshot()
    del m["goes"]
    m.update(changes=30, equal=4.0, comes=5)
    assert diff(before, m.snapshot()) == Diff({"comes": 5}, {"goes": 2}, {"changes": (3, 30)})
    assert diff(m.snapshot(), before) == Diff({"goes": 2}, {"comes": 5}, {"changes": (30, 3)})
    assert diff(before, before) == Diff({}, {}, {})


def test_differences_lead_from_any_snapshot_to_any_other(seed: int) -> None:
    chance = random.Random(seed)
    m: Map = SnapshotMap()
    snapshots = [m.snapshot()]
    for _ in range(2000):
        number = chance.randrange(300)
        key = Key(number, number % 50 << 4 * (number % 3))
        m.compute(key, lambda old: REMOVE if chance.random() < 0.5 else chance.random())
        if chance.random() < 0.01:
            snapshots.append(m.snapshot())
    for before in snapshots:
        for after in snapshots:
            change = diff(before, after)
            made = dict(before) | change.added | {key: new for key, (_, new) in change.changed.items()}
            for key in change.removed:
                del made[key]
            assert made == after


def test_what_snapshots_share_is_not_compared() -> None:
    class Incomparable(Thing):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = object.__hash__

    m: Map = SnapshotMap((number, Incomparable()) for number in range(1000))
    before = m.snapshot()
    m[5000] = 1
    assert diff(before, m.snapshot()).added == {5000: 1}
    m["again"] = m[7]
    m[7] = m[7]
    assert diff(before, m.snapshot()).changed == {}
