"""Measure everything that the pages show, and keep it in benchmarks/results/cells.json.

python benchmarks/measure.py              all maps of this package and all peers; half an hour
python benchmarks/measure.py --out FILE   to another file
python benchmarks/measure.py --try        small maps and few rounds, into build/: to see that it works
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import threadproof.maps
from pages import designs, family
from pages.rows import fewer_samples
from threadproof.bench import contenders, latency, memory, passes, pauses, plan, results
from threadproof.bench.contenders import Contender
from threadproof.bench.results import Measurement, Result
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.targets import OURS

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "cells.json"
TRIAL = ROOT / "build" / "cells.json"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--try", action="store_true", dest="trial", help="measure very little, into build/")
    args = parser.parse_args()
    out: Path = args.out or (TRIAL if args.trial else KEPT)
    installed, missing = contenders.installed()
    if missing and not args.trial:
        parser.error(f"not installed: {', '.join(missing)}; `make bench` installs them")
    out.parent.mkdir(exist_ok=True)
    results.save(measure(installed, args.trial), out)
    return 0


def measure(installed: Sequence[Contender], trial: bool) -> Result:
    ours = {each.name: each for each in contenders.in_module(threadproof.maps)}
    hash_map, peers = ours.pop(OURS), plan.peers(installed)
    effort = Effort(0, 1, 1) if trial else plan.EFFORT
    steps = [*family.steps(ours.values(), effort, trial), *designs.steps(trial)]
    found = plan.measure(hash_map, peers, effort, trial, passes.say, steps)
    more = single_numbers([hash_map, *peers, *ours.values()], trial)
    return replace(found, rows=fewer_samples(found.rows), measurements=[*found.measurements, *more])


def single_numbers(measured: Sequence[Contender], trial: bool) -> list[Measurement]:
    """Pauses, bytes and percentiles of every contender."""
    large = 10_000 if trial else 1_000_000
    found: list[Measurement] = []
    passes.say("pauses, bytes, percentiles")
    for n, threads in product((1_000, large), (1, 2)):
        found += pauses.worst_pauses(measured, n, threads)
    for n in (1_000, large):
        found += memory.bytes_per_entry(measured, n)
    scenario = Scenario(heap=True, n=1_000, operations=2_000 if trial else 200_000, threads=2)
    return found + latency.latencies(measured, scenario, rate=100_000)


if __name__ == "__main__":
    sys.exit(main())
