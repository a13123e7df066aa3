"""The registry of watched structures: names, weak references, threads, forks."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from dataclasses import dataclass

import pytest

from tests.kit.hammer import PATIENCE, hammer
from threadproof import HashMap
from threadproof.stats import Registry, Stats, instances, process, registry, watch
from threadproof.sync import AtomicInt, Pool, RWLock


class Thing:
    """A structure."""

    def stats(self) -> Stats:
        return Stats()


def labels(watched: Registry) -> list[str]:
    return [each.label for each in watched.watched()]


def test_watching_returns_the_structure_itself() -> None:
    things: HashMap[str, int] = HashMap(a=1)
    assert watch("sessions of this test", things) is things
    try:
        (found,) = (each for each in registry.watched() if each.structure is things)
        assert (found.name, found.kind, found.label) == (
            "sessions of this test",
            "HashMap",
            "sessions of this test",
        )
        assert found.structure.stats().as_dict()["size"] == 1
    finally:
        registry.remove(things)
    assert all(each.structure is not things for each in registry.watched())


def test_two_of_one_name_are_told_apart_and_unnamed_ones_go_by_kind() -> None:
    watched, things = Registry(), [Thing() for _ in range(5)]
    watched.add(things[0], "sessions")
    watched.add(things[1], "sessions")
    watched.add(things[2])
    watched.add(things[3], "Thing")
    number = watched.add(AtomicInt())
    assert labels(watched) == ["sessions", "sessions#2", "Thing#1", "Thing#2", "AtomicInt#1"]
    assert [each.structure for each in watched.watched(AtomicInt)] == [number]


def test_a_structure_has_one_name_the_newest() -> None:
    watched, thing, other = Registry(), Thing(), Thing()
    for name in ("a", "a", "b"):
        watched.add(thing, name)
        watched.add(other, "c")
    assert labels(watched) == ["c", "b"]


def test_it_keeps_nothing_alive_and_forgets_names_that_nothing_has() -> None:
    watched = Registry()
    watched.add(Thing(), "a")
    gc.collect()
    assert labels(watched) == []
    thing = watched.add(Thing(), "a")
    assert labels(watched) == ["a"]
    assert weakref.getweakrefcount(thing) == 1


def test_structures_that_die_unseen_take_no_memory() -> None:
    watched = Registry()
    for number in range(10_000):
        watched.add(Thing(), f"name {number}")
    gc.collect()
    watched.add(Thing())
    assert len(watched._entries) < 200
    assert len(watched._numbers) < 200


def test_an_address_that_is_used_again_is_another_structure() -> None:
    watched, keep = Registry(), []
    for number in range(100):
        thing = Thing()
        watched.add(thing, f"old {number}")
        del thing
        keep.append(watched.add(Thing(), "new"))
    assert {each.name for each in watched.watched()} == {"new"}
    assert len(watched.watched()) == len(keep)


@pytest.mark.parametrize(
    ("structure", "name", "error", "message"),
    [
        (object(), "a", TypeError, r"needs a method stats\(\), and <object object"),
        (Thing(), "a#2", ValueError, "a name cannot contain '#'"),
        (Thing(), 3, TypeError, "a name is a str, got 3"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    structure: Thing, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Registry().add(structure, name)


def test_a_structure_without_weak_references_is_refused_with_the_way_out() -> None:
    @dataclass(slots=True)
    class Bare:
        size: int

        def stats(self) -> Stats:
            return Stats()

    with pytest.raises(TypeError, match="Bare has no weak references; add '__weakref__' to its __slots__"):
        Registry().add(Bare(1))


def test_the_line_that_watched_a_structure_is_known() -> None:
    watched = Registry()
    thing = watched.add(Thing(), "a")
    (found,) = watched.watched()
    assert found.structure is thing
    assert found.site is not None
    assert found.site.file == __file__
    assert found.site.function == "test_the_line_that_watched_a_structure_is_known"


def test_unnamed_structures_of_a_kind_are_included_once() -> None:
    watched, named, unnamed = Registry(), RWLock(), RWLock()
    watched.add(named, "a")
    assert watched.include(RWLock) >= 1
    assert watched.include(RWLock) == 0
    found = {id(each.structure): each for each in watched.watched(RWLock)}
    assert found[id(named)].label == "a"
    assert (found[id(unnamed)].name, found[id(unnamed)].site) == ("", None)


def test_structures_that_are_not_watched_are_found_by_kind() -> None:
    lock = RWLock()
    assert any(each is lock for each in instances(RWLock))
    assert lock not in list[object](instances(Pool))


def test_many_threads_may_use_it_at_once() -> None:
    watched = Registry()
    kept: list[list[Thing]] = [[] for _ in range(4)]

    def work(thread: int) -> None:
        for number in range(300):
            thing = watched.add(Thing(), "a")
            if number % 3 == 0:
                kept[thread].append(thing)
            if number % 10 == 0:
                watched.watched()
            elif number % 7 == 0:
                watched.remove(thing)
                if number % 3 == 0:
                    kept[thread].pop()

    hammer(work, threads=4)
    gc.collect()
    found = watched.watched()
    assert {id(each.structure) for each in found} == {id(thing) for own in kept for thing in own}
    assert len({each.label for each in found}) == len(found)


def test_a_finalizer_that_uses_it_does_no_harm() -> None:
    watched = Registry()

    class Ends(Thing):
        def __del__(self) -> None:
            watched.add(Thing(), "made by a finalizer")
            watched.watched()

    for _ in range(100):
        ends = Ends()
        ends.itself = ends  # type: ignore[attr-defined]  # a cycle, which the collector finds at some allocation
        watched.add(ends, "a")
        del ends
    gc.collect()
    assert labels(watched) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_amid_its_use_can_use_it() -> None:
    watched, kept, stop = Registry(), [Thing() for _ in range(20)], threading.Event()
    for thing in kept:
        watched.add(thing)

    def churn() -> None:
        while not stop.is_set():
            watched.add(Thing(), "a")
            watched.watched()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(int(PATIENCE))  # a child that waits for a lock for ever is killed
                alive = [each for each in watched.watched() if not each.name]
                watched.add(kept[0], "again")
                os._exit(0 if len(alive) == 20 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_the_process_has_metrics_of_its_own() -> None:
    assert process().as_dict().keys() == {"retired_bytes", "threads", "known_threads"}
    assert process().retired_bytes >= 0


def test_the_process_knows_the_threads_that_use_structures() -> None:
    used: HashMap[str, int] = HashMap(a=1)
    entered, leave = threading.Event(), threading.Event()

    def use() -> None:
        assert used["a"] == 1
        entered.set()
        leave.wait(PATIENCE)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        assert entered.wait(PATIENCE)
        assert used["a"] == 1
        assert process().threads >= 2
        if not getattr(
            sys, "_is_gil_enabled", lambda: True
        )():  # with a GIL, reads need no place of their own
            assert process().known_threads >= 2
    finally:
        leave.set()
        thread.join()
