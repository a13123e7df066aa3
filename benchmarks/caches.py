"""Measure caches, beside those of other packages, and write the tables of docs/cache.md.

python benchmarks/caches.py                measure, into benchmarks/results/caches.json, and write: 15 minutes
python benchmarks/caches.py --write        only write the tables, from that file
python benchmarks/caches.py --try          few rounds, on the terminal: to see that it works

The other packages are the dependency group `caches` of pyproject.toml; theine is built with Rust. What is not
installed is named and left out; a package that turns the GIL on ends the measurement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pages import caches
from pages.markers import write_between
from pages.rows import fewer_samples
from threadproof.bench import passes, results
from threadproof.bench.passes import Passes
from threadproof.bench.plan import Step
from threadproof.bench.results import Result

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "caches.json"
PAGE = ROOT / "docs" / "cache.md"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="measure nothing")
    parser.add_argument("--try", action="store_true", dest="trial", help="measure very little")
    args = parser.parse_args()
    if not args.write:
        gil = getattr(sys, "_is_gil_enabled", lambda: True)
        before = gil()
        _, missing = caches.peers(1)
        if missing:
            passes.say(f"not installed, left out: {', '.join(missing)}")
        if gil() and not before:
            parser.error("one of the packages has turned the GIL on; leave it out")
        result = measure(args.trial)
        if args.trial:
            print("\n\n".join(caches.sections(result).values()))
            return 0
        results.save(result, KEPT)
    for name, text in caches.sections(results.load(KEPT)).items():
        write_between(PAGE, name, text)
    return 0


def measure(trial: bool) -> Result:
    measured = Passes()
    steps: Sequence[Step] = caches.steps(trial)
    rounds = [(number, step) for number in range(caches.PASSES) for step in steps if number < step.passes]
    for place, (number, step) in enumerate(rounds, 1):
        scenario = step.job.scenario
        passes.say(
            f"{place} of {len(rounds)}: pass {number + 1}, {scenario.threads_label}, {scenario.label}, "
            f"{step.job.workloads[0].name}, ..."
        )
        measured.measure(step.job)
    passes.say("bytes")
    return Result(results.machine(caches.versions()), fewer_samples(measured.all()), caches.memory(trial))


if __name__ == "__main__":
    sys.exit(main())
