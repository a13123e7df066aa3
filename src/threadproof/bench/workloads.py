"""Workloads: what each thread of a run does, as data.

A body is the source of one timed loop over `keys`, a list drawn before the clock starts; a line `<operation>`
stands for the rival's idiom. The lone `k` makes CPython borrow `m` and `k` and not count a reference: the
count of the map itself, which threads would fight over, is not what these loops are about. A list is made by
the thread that will loop over it, so that this thread owns the keys made for it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from threadproof.bench.keys import DISTRIBUTIONS, Draw, make_keys

WINDOW = 64  # how many keys a thread that replaces keys has in the map at a time
BATCH = 1_000  # keys in one call of get_many and its sisters
LOOP = "for k in keys:\n    k\n"


class Start(Enum):
    """The map that a run finds."""

    KEPT = "the same for all runs, with n keys"
    OWN = "the same for all runs of this workload, with n keys"
    EMPTY = "a new one, empty"
    FILLED = "a new one, with n keys"


class End(Enum):
    """What the map must hold after a run; anything else voids the row."""

    STORED = "the n keys with their values, and nothing but the keys in somebody's window"
    NOTHING = "nothing"
    COUNTS = "counts at the n keys; their sum is what was added"
    SOME = "some of the n keys with their values: a clear may have removed any"


@dataclass(frozen=True)
class Scene:
    """One kind of key, one size of map: where workloads run, in turn, with every rival."""

    kind: str = "int"
    identical: bool = (
        False  # the stored key objects themselves, else equal ones made by the thread that uses them
    )
    heap: bool = False  # each key has itself as its value, an object that is counted; else None, which is not
    n: int = 1_000
    operations: int = 50_000  # of each thread
    distribution: str = "uniform"
    threads: int = 1
    shuffled: bool = True  # whether whole maps are built and emptied in random order

    @property
    def crowd(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def label(self) -> str:
        origin = "identical" if self.identical else "fresh"
        return f"{self.kind} keys, {origin}, {'heap' if self.heap else 'immortal'} values, n={self.n:,}"


@dataclass(frozen=True)
class Hand:
    """What a thread needs to draw its list: the scene, the stored keys, and which thread it is."""

    scene: Scene
    stored: Sequence[Any]
    thread: int
    threads: int

    def draw(self, distribution: Draw, count: int, salt: int = 0) -> list[Any]:
        """Draw numbers, and give their keys."""
        seeded = random.Random(self.thread * 1_000 + salt + 1)
        return self.keys(distribution(self.scene.n, count, self.thread, self.threads, seeded))

    def keys(self, numbers: Sequence[int]) -> list[Any]:
        """Give the stored keys of these numbers, or equal ones just made."""
        if self.scene.identical:
            return [self.stored[number] for number in numbers]
        return make_keys(self.scene.kind, numbers)

    def absent(self, count: int) -> list[Any]:
        """Make keys that are not in the map, others for each thread."""
        first = self.scene.n + self.thread
        return make_keys(self.scene.kind, range(first, first + count * self.threads, self.threads))

    def share(self) -> list[Any]:
        """Every stored key that is this thread's to store or to delete."""
        mine = list(self.stored[self.thread :: self.threads])
        return random.Random(1).sample(mine, len(mine)) if self.scene.shuffled else mine


@dataclass(frozen=True)
class Workload:
    """One thing to do, over and over."""

    name: str
    summary: str
    body: str
    prepare: Callable[[Hand, Draw], list[Any]] = lambda hand, draw: single(hand, draw)
    count: Callable[[Scene, Sequence[Any]], int] = lambda scene, keys: len(keys)  # operations in such a list
    start: Start = Start.KEPT
    end: End = End.STORED
    distribution: str = ""  # where it does not take the scene's
    subtract: bool = True  # take off what the loop costs with nothing in it
    windows: bool = False  # each thread leaves WINDOW keys of its own in a kept map

    @property
    def kept(self) -> bool:
        return self.start in (Start.KEPT, Start.OWN)

    @property
    def operations(self) -> frozenset[str]:
        return frozenset(re.findall(r"<(\w+)>", self.body))

    def added(self, keys: Sequence[Any]) -> int:
        """How much a thread with this list adds to the counts."""
        return sum(map(len, keys)) if "count_many" in self.operations else len(keys)

    def lists(self, hand: Hand) -> list[Any]:
        return self.prepare(hand, DISTRIBUTIONS[self.distribution or hand.scene.distribution])


# --- lists to loop over ---


def single(hand: Hand, draw: Draw) -> list[Any]:
    """One key after the other."""
    return hand.draw(draw, hand.scene.operations)


def share(hand: Hand, draw: Draw) -> list[Any]:
    return hand.share()


def absent(hand: Hand, draw: Draw) -> list[Any]:
    """Keys not in the map; half as many as operations, for each is used twice."""
    return hand.absent(max(hand.scene.operations // 2, 1))


def batches(hand: Hand, draw: Draw) -> list[list[Any]]:
    return cut(hand.draw(draw, hand.scene.operations), BATCH)


def one_batch(hand: Hand, draw: Draw) -> list[list[Any]]:
    return [hand.draw(draw, hand.scene.operations)]


def own_batches(hand: Hand, draw: Draw) -> list[list[Any]]:
    """All that is this thread's to store, once."""
    return [hand.share()]


def cut(keys: list[Any], size: int) -> list[list[Any]]:
    return [keys[i : i + size] for i in range(0, len(keys), size)]


def mixed(writes: float, written: str = "") -> Callable[[Hand, Draw], list[Any]]:
    """Reads, then a write, and again, in random order: `writes` is their share of the operations.

    The keys to write are drawn as those to read are, or as `written` says.
    """

    def prepare(hand: Hand, draw: Draw) -> list[tuple[list[Any], Any]]:
        runs = run_lengths(hand, writes)
        reads = in_runs(hand.draw(draw, sum(runs)), runs)
        return list(zip(reads, hand.draw(DISTRIBUTIONS.get(written, draw), len(runs), salt=7), strict=True))

    return prepare


def replacing(writes: float) -> Callable[[Hand, Draw], list[Any]]:
    """As `mixed`, but a write stores a new key, and deletes the one stored WINDOW writes before."""

    def prepare(hand: Hand, draw: Draw) -> list[tuple[list[Any], Any, Any]]:
        runs = run_lengths(hand, writes, least=2 * WINDOW)
        new = hand.absent(len(runs))
        reads = in_runs(hand.draw(draw, sum(runs)), runs)
        return list(zip(reads, new, new[-WINDOW:] + new[:-WINDOW], strict=True))

    return prepare


def reading_latest(writes: float) -> Callable[[Hand, Draw], list[Any]]:
    """As `replacing`, but most reads are of what this thread stored last, then of what was stored before."""

    def prepare(hand: Hand, draw: Draw) -> list[tuple[list[Any], Any, Any]]:
        changes = replacing(writes)(hand, draw)
        new = [key for _, key, _ in changes]
        return [
            (newest_first(reads, new[max(0, place - WINDOW) : place], hand), key, old)
            for place, (reads, key, old) in enumerate(changes)
        ]

    return prepare


def newest_first(reads: list[Any], held: list[Any], hand: Hand) -> list[Any]:
    """Replace the keys of the highest numbers by those this thread has just stored."""
    newest = {hand.stored[-1 - age]: key for age, key in enumerate(reversed(held[-hand.scene.n :]))}
    return [newest.get(key, key) for key in reads]


def run_lengths(hand: Hand, writes: float, least: int = 1) -> list[int]:
    """How many reads come before each write: exactly as many writes as asked for, at random places."""
    operations = hand.scene.operations
    count = max(round(operations * writes), least)
    reads = max(operations - count, 0)
    places = sorted(random.Random(hand.thread + 11).choices(range(reads + 1), k=count - 1))
    return [after - before for before, after in zip([0, *places], [*places, reads], strict=True)]


def in_runs(keys: list[Any], runs: list[int]) -> list[list[Any]]:
    remaining = iter(keys)
    return [[next(remaining) for _ in range(length)] for length in runs]


def clearing(hand: Hand, draw: Draw) -> list[tuple[list[None], list[Any]]]:
    """The whole share of the keys, as often as operations ask for it; the first thread clears before."""
    mine = hand.share()
    times = max(hand.scene.operations // max(hand.scene.n, 1), 1)
    return [([None] if hand.thread == 0 else [], mine)] * times


def whole_passes(hand: Hand, draw: Draw) -> list[list[Any]]:
    """Keys to store and delete between two passes over the whole map: a tenth as many as it has."""
    times = max(hand.scene.operations // max(hand.scene.n, 1), 2)
    new = hand.absent(max(hand.scene.n // 10, 1))
    return [new] * times


# --- how many operations a list comes to ---


def in_batches(scene: Scene, keys: Sequence[Any]) -> int:
    return sum(map(len, keys))


def in_groups(scene: Scene, keys: Sequence[Any]) -> int:
    return sum(len(reads) + len(writes) for reads, *writes in keys)


def in_refills(scene: Scene, keys: Sequence[Any]) -> int:
    return sum(len(clears) + len(mine) for clears, mine in keys)


def in_passes(scene: Scene, keys: Sequence[Any]) -> int:
    return sum(2 * len(new) + scene.n for new in keys)


def twice(scene: Scene, keys: Sequence[Any]) -> int:
    return 2 * len(keys)


# --- the table ---

MIX = "for reads, w in keys:\n    for k in reads:\n        k\n        <{0}>\n    k = w\n    k\n    <{1}>\n"
REPLACE = (
    "for reads, new, old in keys:\n    for k in reads:\n        k\n        <{0}>\n"
    "    k = new\n    k\n    <write>\n    k = old\n    k\n    <delete>\n"
)
EACH_BATCH = "for ks in keys:\n    <{0}>\n"


def alone(name: str, summary: str, operation: str, **more: Any) -> Workload:
    return Workload(name, summary, f"{LOOP}    <{operation}>", **more)


def mix(
    name: str, summary: str, writes: float, read: str = "read", write: str = "write", **more: Any
) -> Workload:
    body = MIX.format(read, write)
    return Workload(name, summary, body, mixed(writes), in_groups, **more)


def replacement(name: str, summary: str, writes: float, read: str = "read", **more: Any) -> Workload:
    lists = more.pop("prepare", replacing)(writes)
    return Workload(name, summary, REPLACE.format(read), lists, in_groups, windows=True, **more)


def shares(name: str, summary: str, operation: str, start: Start, end: End) -> Workload:
    return Workload(name, summary, f"{LOOP}    <{operation}>", share, start=start, end=end)


def many(operation: str, summary: str, prepare: Any = batches, **more: Any) -> Workload:
    return Workload(operation, summary, EACH_BATCH.format(operation), prepare, in_batches, **more)


ZIPF = "zipfian"


def indented(loop: str, name: str) -> str:
    """The loop over another list, one level deeper."""
    return "".join(f"    {line}\n" for line in loop.replace("keys", name).splitlines())


WORKLOADS = {
    workload.name: workload
    for workload in (
        alone("read", "m[k] of stored keys", "read"),
        mix("99/1", "99 % read, 1 % overwrite", 0.01),
        mix("95/5", "95 % read, 5 % overwrite", 0.05),
        mix("50/50", "half read, half overwrite", 0.5),
        alone("write", "m[k] = v of stored keys", "write"),
        replacement("99/1 new", "99 % read; 1 % store a new key and delete an old one", 0.01),
        replacement("95/5 new", "95 % read; 5 % store a new key and delete an old one", 0.05),
        replacement("50/50 new", "half read; half store a new key and delete an old one", 0.5),
        replacement("write new", "store a new key and delete an old one", 1.0),
        Workload(
            "churn",
            "store many new keys, then delete them",
            f"{LOOP}    <write>\n{LOOP}    <delete>",
            absent,
            twice,
            Start.OWN,  # it grows to many times what the others hold, and not every map gives the room back
        ),
        shares("grow", "store every key into an empty map", "write", Start.EMPTY, End.STORED),
        shares("mass delete", "delete every key, one by one", "delete", Start.FILLED, End.NOTHING),
        Workload(
            "clear and refill",
            "clear(), and store every key again",
            "for clears, mine in keys:\n    for k in clears:\n        <clear>\n    for k in mine:\n"
            "        k\n        <write>\n",
            clearing,
            in_refills,
            end=End.SOME,
            start=Start.FILLED,
        ),
        Workload(
            "iterate while writing",
            "store and delete new keys, then see every entry; each thread for itself",
            f"for new in keys:\n{indented(LOOP, 'new')}        <write>\n"
            f"{indented(LOOP, 'new')}        <delete>\n    <iterate>",
            whole_passes,
            in_passes,
        ),
        alone("hot counter", "add 1 to one key, as all do", "add", end=End.COUNTS, distribution="hot"),
        alone("counters", "add 1 to counts; zipfian", "add", end=End.COUNTS, distribution=ZIPF),
        alone("setdefault", "setdefault of stored keys", "setdefault"),
        many("get_many", f"{BATCH:,} stored keys a call"),
        many("set_many", "every key into an empty map, in one call", own_batches, start=Start.EMPTY),
        many("count_many", f"count {BATCH:,} keys a call", end=End.COUNTS, distribution=ZIPF),
        mix("ycsb-a", "YCSB A: half read, half update; zipfian", 0.5, distribution=ZIPF),
        mix("ycsb-b", "YCSB B: 95 % read, 5 % update; zipfian", 0.05, distribution=ZIPF),
        alone("ycsb-c", "YCSB C: read only; zipfian", "read", distribution=ZIPF),
        replacement(
            "ycsb-d",
            "YCSB D: 95 % read of what is new, 5 % insert; an old key goes for each new one",
            0.05,
            prepare=reading_latest,
            distribution="latest",
        ),
        replacement("ycsb-e", "YCSB E: 95 % see 50 entries, 5 % insert; an old key goes", 0.05, "scan"),
        mix("ycsb-f", "YCSB F: half read, half add to the value; zipfian", 0.5, write="add", end=End.COUNTS,
            distribution=ZIPF),
    )
}  # fmt: skip
