"""The cost of reading and writing a SnapshotMap, by one thread and by two at once, relative to a dict.

python benchmarks/snapshot_map.py --keys 1000
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, MutableMapping

from threadproof import SnapshotMap

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=1000)
    keys = list(range(parser.parse_args().keys))
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
