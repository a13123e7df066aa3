"""Workloads: the work of each thread of a run, as data.

A body is the source of one timed loop over `keys`, a list made before the clock starts. A line `<operation>`
stands for the contender's idiom. The line `k` lets CPython borrow `m` and `k` without counting references:
these loops do not measure threads contending for the map's own reference count. Each list is made by the
thread that loops over it, so that the thread owns the new keys in it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from threadproof.bench.keys import DISTRIBUTIONS, Distribution
from threadproof.bench.scenario import Scenario, Worker

LIVE_KEY_WINDOW = 64  # keys that a replacing thread has in the map at a time: few, so the size stays near n
BATCH = 1_000  # keys in one call of get_many, set_many or count_many
LOOP = "for k in keys:\n    k\n"


class Start(Enum):
    """The map with which a run starts."""

    KEPT = "the same for all runs, with n keys"
    OWN = "the same for all runs of this workload, with n keys"
    EMPTY = "a new one, empty"
    FILLED = "a new one, with n keys"


class End(Enum):
    """The content that the map must have after a run; any other content makes the row invalid."""

    STORED = "the n keys with their values, and the live keys of the threads"
    NOTHING = "nothing"
    COUNTS = "counts at the n keys; their sum is what was added"
    SOME = "some of the n keys with their values: a clear may have removed any"
    BOUNDED = "at most n keys: a cache evicts any of them"


@dataclass(frozen=True)
class Workload:
    """One kind of work, done again and again."""

    name: str
    summary: str
    body: str
    prepare: Callable[[Worker, Distribution], list[Any]] = lambda worker, draw: single(worker, draw)
    count: Callable[[Scenario, Sequence[Any]], int] = lambda scenario, keys: len(keys)  # operations in a list
    start: Start = Start.KEPT
    end: End = End.STORED
    distribution: str = ""  # empty: the scenario's
    subtract: bool = True  # subtract the cost of the empty loop
    live_key_window: bool = False  # each thread replaces its LIVE_KEY_WINDOW keys in a kept map

    @property
    def kept(self) -> bool:
        return self.start in (Start.KEPT, Start.OWN)

    @property
    def operations(self) -> frozenset[str]:
        return frozenset(re.findall(r"<(\w+)>", self.body))

    def added(self, keys: Sequence[Any]) -> int:
        """The sum that a thread with this list adds to the counts."""
        return sum(map(len, keys)) if "count_many" in self.operations else len(keys)

    def lists(self, worker: Worker) -> list[Any]:
        return self.prepare(worker, DISTRIBUTIONS[self.distribution or worker.scenario.distribution])


# --- lists to loop over ---


def single(worker: Worker, draw: Distribution) -> list[Any]:
    """One key after the other."""
    return worker.draw(draw, worker.scenario.operations)


def share(worker: Worker, draw: Distribution) -> list[Any]:
    return worker.share()


def absent(worker: Worker, draw: Distribution) -> list[Any]:
    """Keys not in the map; half as many as operations, as each is used twice."""
    return worker.absent(max(worker.scenario.operations // 2, 1))


def batches(worker: Worker, draw: Distribution) -> list[list[Any]]:
    return cut(worker.draw(draw, worker.scenario.operations), BATCH)


def one_batch(worker: Worker, draw: Distribution) -> list[list[Any]]:
    return [worker.draw(draw, worker.scenario.operations)]


def own_batches(worker: Worker, draw: Distribution) -> list[list[Any]]:
    """The thread's share of the keys, as one batch."""
    return [worker.share()]


def cut(keys: list[Any], size: int) -> list[list[Any]]:
    return [keys[i : i + size] for i in range(0, len(keys), size)]


def mixed(writes: float, written: str = "") -> Callable[[Worker, Distribution], list[Any]]:
    """Reads and writes in random order; `writes` is the writes' share of the operations.

    `written` is the distribution of the keys to write, if it is another one than that of the reads.
    """

    def prepare(worker: Worker, draw: Distribution) -> list[tuple[list[Any], Any]]:
        runs = run_lengths(worker, writes)
        reads = in_runs(worker.draw(draw, sum(runs)), runs)
        return list(zip(reads, worker.draw(DISTRIBUTIONS.get(written, draw), len(runs), salt=7), strict=True))

    return prepare


def replacing(writes: float) -> Callable[[Worker, Distribution], list[Any]]:
    """As `mixed`, but a write stores a new key and deletes the one stored LIVE_KEY_WINDOW writes earlier."""

    def prepare(worker: Worker, draw: Distribution) -> list[tuple[list[Any], Any, Any]]:
        runs = run_lengths(worker, writes, least=2 * LIVE_KEY_WINDOW)
        new = worker.absent(len(runs))
        reads = in_runs(worker.draw(draw, sum(runs)), runs)
        return list(zip(reads, new, new[-LIVE_KEY_WINDOW:] + new[:-LIVE_KEY_WINDOW], strict=True))

    return prepare


def reading_latest(writes: float) -> Callable[[Worker, Distribution], list[Any]]:
    """As `replacing`, but most reads are of the thread's newest keys."""

    def prepare(worker: Worker, draw: Distribution) -> list[tuple[list[Any], Any, Any]]:
        changes = replacing(writes)(worker, draw)
        new = [key for _, key, _ in changes]
        return [
            (newest_first(reads, new[max(0, place - LIVE_KEY_WINDOW) : place], worker), key, old)
            for place, (reads, key, old) in enumerate(changes)
        ]

    return prepare


def newest_first(reads: list[Any], held: list[Any], worker: Worker) -> list[Any]:
    """Replace the keys of the highest numbers by the thread's newest keys."""
    newest = {worker.stored[-1 - age]: key for age, key in enumerate(reversed(held[-worker.scenario.n :]))}
    return [newest.get(key, key) for key in reads]


def run_lengths(worker: Worker, writes: float, least: int = 1) -> list[int]:
    """The number of reads before each write: the exact share of writes, at random places."""
    operations = worker.scenario.operations
    count = max(round(operations * writes), least)
    reads = max(operations - count, 0)
    places = sorted(random.Random(worker.thread + 11).choices(range(reads + 1), k=count - 1))
    return [after - before for before, after in zip([0, *places], [*places, reads], strict=True)]


def in_runs(keys: list[Any], runs: list[int]) -> list[list[Any]]:
    remaining = iter(keys)
    return [[next(remaining) for _ in range(length)] for length in runs]


def clearing(worker: Worker, draw: Distribution) -> list[tuple[list[None], list[Any]]]:
    """The thread's share of the keys, once per pass; the first thread clears the map before each."""
    mine = worker.share()
    times = max(worker.scenario.operations // max(worker.scenario.n, 1), 1)
    return [([None] if worker.thread == 0 else [], mine)] * times


def whole_passes(worker: Worker, draw: Distribution) -> list[list[Any]]:
    """New keys to store and delete between two passes over the whole map: a tenth of its size."""
    times = max(worker.scenario.operations // max(worker.scenario.n, 1), 2)
    new = worker.absent(max(worker.scenario.n // 10, 1))
    return [new] * times


# --- the number of operations in a list ---


def in_batches(scenario: Scenario, keys: Sequence[Any]) -> int:
    return sum(map(len, keys))


def in_groups(scenario: Scenario, keys: Sequence[Any]) -> int:
    return sum(len(reads) + len(writes) for reads, *writes in keys)


def in_refills(scenario: Scenario, keys: Sequence[Any]) -> int:
    return sum(len(clears) + len(mine) for clears, mine in keys)


def in_passes(scenario: Scenario, keys: Sequence[Any]) -> int:
    return sum(2 * len(new) + scenario.n for new in keys)


def twice(scenario: Scenario, keys: Sequence[Any]) -> int:
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
    return Workload(name, summary, REPLACE.format(read), lists, in_groups, live_key_window=True, **more)


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
            Start.OWN,  # it grows to many times the size of the others, and some maps keep that memory
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
            "store and delete new keys, then iterate over all entries; each thread by itself",
            f"for new in keys:\n{indented(LOOP, 'new')}        <write>\n"
            f"{indented(LOOP, 'new')}        <delete>\n    <iterate>",
            whole_passes,
            in_passes,
        ),
        alone("hot counter", "add 1 to one key; all threads", "add", end=End.COUNTS, distribution="hot"),
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
            "YCSB D: 95 % read new keys, 5 % insert a key and delete an old one",
            0.05,
            prepare=reading_latest,
            distribution="latest",
        ),
        replacement("ycsb-e", "YCSB E: 95 % scan 50 entries, 5 % insert and delete a key", 0.05, "scan"),
        mix("ycsb-f", "YCSB F: half read, half add to the value; zipfian", 0.5, write="add", end=End.COUNTS,
            distribution=ZIPF),
    )
}  # fmt: skip
