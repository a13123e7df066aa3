"""The cost of reading and writing a SnapshotMap, by one thread and by two at once, relative to a dict.

python benchmarks/snapshot_map.py --keys 1000
python benchmarks/snapshot_map.py --keys 1000 --building    building and iterating, relative to the package
                                                            immutables (if it is installed) and to HashMap
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from threadproof import HashMap, SnapshotMap

OPERATIONS = 200_000  # of each thread, in a round
ROUNDS = 7

Map = MutableMapping[int, int]


def read(m: Map, keys: list[int]) -> None:
    for _ in range(OPERATIONS // len(keys)):
        for key in keys:
            m[key]


def write(m: Map, keys: list[int]) -> None:
    for _ in range(OPERATIONS // len(keys)):
        for key in keys:
            m[key] = key


def measure(work: Callable[[Map, list[int]], None], m: Map, keys: list[int], threads: int) -> float:
    """Nanoseconds per operation of one thread: the median, as the threads of the fastest round ran apart."""
    return statistics.median(one_round(work, m, keys, threads) for _ in range(ROUNDS)) / OPERATIONS * 1e9


def one_round(work: Callable[[Map, list[int]], None], m: Map, keys: list[int], threads: int) -> float:
    """The seconds until so many threads have each done all of the work at the same time."""
    start = threading.Barrier(threads + 1)

    def begin_together() -> None:
        start.wait()
        work(m, keys)

    workers = [threading.Thread(target=begin_together) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


# ---- building: many keys at once, in one thread

Build = Callable[[list[int]], object]


def in_a_transaction(keys: list[int]) -> object:
    m: SnapshotMap[int, int] = SnapshotMap()
    with m.transaction() as t:
        for key in keys:
            t[key] = key
    return m


def overwriting_in_a_transaction(m: SnapshotMap[int, int]) -> Build:
    def work(keys: list[int]) -> object:
        with m.transaction() as t:
            for key in keys:
                t[key] = key
        return m

    return work


def one_by_one(m: Map) -> Build:
    def work(keys: list[int]) -> object:
        for key in keys:
            m[key] = key
        return m

    return work


def going_through(entries: Callable[[], Iterable[object]]) -> Build:
    def work(keys: list[int]) -> object:
        for _ in entries():
            pass
        return entries

    return work


def builds(keys: list[int]) -> dict[str, tuple[Build, Build | None]]:
    """For each step: ours, and the same with `immutables`, or with HashMap for single writes."""
    entries = dict.fromkeys(keys, 0)
    m: SnapshotMap[int, int] = SnapshotMap(entries)
    s = m.snapshot()
    peer = immutables_steps(keys)
    return {
        "transaction, new keys": (in_a_transaction, peer.get("new")),
        "transaction, same keys": (overwriting_in_a_transaction(SnapshotMap(entries)), peer.get("same")),
        "constructor": (lambda keys: SnapshotMap(entries), peer.get("constructor")),
        "single writes, of HashMap's": (one_by_one(m), one_by_one(HashMap(entries))),
        "keys": (going_through(s.keys), peer.get("keys")),
        "values": (going_through(s.values), peer.get("values")),
        "items": (going_through(s.items), peer.get("items")),
    }


def immutables_steps(keys: list[int]) -> dict[str, Build]:
    """The same with the package immutables, if it is installed."""
    try:
        immutables: Any = importlib.import_module("immutables")
    except ImportError:
        return {}
    entries = dict.fromkeys(keys, 0)
    base = immutables.Map(entries)

    def mutate(start: Any) -> Build:
        def work(keys: list[int]) -> object:
            with start.mutate() as changed:
                for key in keys:
                    changed[key] = key
                return changed.finish()

        return work

    return {
        "new": mutate(immutables.Map()),
        "same": mutate(base),
        "constructor": lambda keys: immutables.Map(entries),
        "keys": going_through(base.keys),
        "values": going_through(base.values),
        "items": going_through(base.items),
    }


def compare_builds(count: int) -> None:
    """Print the nanoseconds per key of each step, the least of the rounds, and the ratio to the peer's."""
    keys = list(range(count))
    # short rounds, and many: on a busy machine some of them are not interrupted
    times, rounds = max(1, 2_000 // count), max(ROUNDS, 200_000 // count)
    for name, (ours, theirs) in builds(keys).items():
        best = [float("inf"), float("inf")]
        for _ in range(rounds):
            for place, work in enumerate((ours, theirs)):
                if work is not None:
                    best[place] = min(best[place], seconds(work, keys, times) / times / count * 1e9)
        print(f"{name}: {best[0]:.0f} ns a key", end="")
        print(f", {best[0] / best[1]:.2f} of {best[1]:.0f}" if theirs else "")


def seconds(work: Build, keys: list[int], times: int) -> float:
    gc.collect()
    gc.disable()
    begun = time.perf_counter()
    for _ in range(times):
        work(keys)
    taken = time.perf_counter() - begun
    gc.enable()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--building", action="store_true", help="measure building and iterating instead")
    options = parser.parse_args()
    if options.building:
        compare_builds(options.keys)
        return
    keys = list(range(options.keys))
    for work in (read, write):
        for threads in (1, 2):
            plain = measure(work, dict.fromkeys(keys, 0), keys, threads)
            m: SnapshotMap[int, int] = SnapshotMap.fromkeys(keys, 0)
            ours = measure(work, m, keys, threads)
            again = m.stats().retries / (OPERATIONS * ROUNDS * threads)
            print(
                f"{work.__name__}, {threads} threads: {ours:.0f} ns, {ours / plain:.1f} of a dict's", end=""
            )
            print(f", {again:.2f} retries per write" if work is write else "")


if __name__ == "__main__":
    main()
