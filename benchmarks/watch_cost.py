"""What watching costs: a Monitor's share of a core, and the reads and writes of maps with and without a name.

    build/venv-3.14t/bin/python benchmarks/watch_cost.py

The monitor's figure is processor time, which other programs disturb little. The ratio of named to unnamed
maps is the median of many short measurements, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median, quantiles

from threadproof import HashMap, LockedMap, ShardedMap, SnapshotMap, SyncMap
from threadproof.maps import ConcurrentMap
from threadproof.stats import Registry, watch
from threadproof.watch import Monitor
from threadproof.watch.export.families import families
from threadproof.watch.export.snapshot import take
from threadproof.watch.export.text import as_text

Map = ConcurrentMap[int, int]
KINDS: list[type[Map]] = [HashMap, SyncMap, ShardedMap, LockedMap, SnapshotMap]
KEYS = list(range(1000))
PAIRS = 40


def monitor_share(maps: int, size: int, interval: float, evaluations: int) -> tuple[float, float]:
    """The share of a core that a Monitor takes, and of a scrape of /metrics in each interval."""
    registry = Registry()
    kept = [registry.add(KINDS[n % len(KINDS)]((k, k) for k in range(size)), f"map {n}") for n in range(maps)]
    monitor = Monitor(interval, lambda finding: None, registry=registry)
    monitor.evaluate()
    checking, scraping = [], []
    for round_ in range(evaluations):
        for m in kept[::10]:
            m[size + round_] = round_  # a tenth of them grows
        checking.append(processor_time(monitor.evaluate))
        scraping.append(processor_time(lambda: as_text(families(take(registry)))))
    return median(checking) / interval, median(scraping) / interval


def processor_time(function: Callable[[], object]) -> float:
    began = time.thread_time()
    function()
    return time.thread_time() - began


def read(m: Map) -> None:
    for key in KEYS:
        m[key]


def write(m: Map) -> None:
    for key in KEYS:
        m[key] = key


def ratios(kind: type[Map], work: Callable[[Map], None], rounds: int) -> tuple[float, float]:
    """The median of named over unnamed, and half the distance between the quartiles.

    Each pair of maps gets some rounds: where a map lies in memory makes more difference than its name.
    """
    measured = []
    for _ in range(PAIRS):
        named, unnamed = watch("named", kind((key, key) for key in KEYS)), kind((key, key) for key in KEYS)
        for round_ in range(rounds // PAIRS):
            order = [named, unnamed] if round_ % 2 else [unnamed, named]
            spent = {id(m): processor_time(partial(work, m)) for m in order}
            measured.append(spent[id(named)] / spent[id(unnamed)])
    low, _, high = quantiles(measured, n=4)
    return median(measured), (high - low) / 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="measurements of each ratio")
    options = parser.parse_args()
    for size in (1000, 100_000):
        share, scrape = monitor_share(100, size, 10.0, 40)
        print(
            f"monitor, 100 maps of {size:,} keys, every 10 s: {share:.3%} of a core; a scrape: {scrape:.3%}"
        )
    for kind in KINDS:
        for name, work in (("read", read), ("write", write)):
            ratio, spread = ratios(kind, work, options.rounds)
            print(f"{kind.__name__} {name}: named / unnamed {ratio:.3f} +- {spread:.3f}")


if __name__ == "__main__":
    main()
