"""Measure every map of threadproof.maps, and write the table in docs/maps.md.

python benchmarks/family.py            measure, keep the result in benchmarks/results, write the table
python benchmarks/family.py --render   write the table again from the result that is kept
python benchmarks/family.py --try      small and short, into build/: to see that it works
"""

from __future__ import annotations

import sys
from pathlib import Path

import threadproof.maps
from pages import family
from pages.markers import arguments, write_between
from pages.passes import say
from pages.rows import fewer_samples
from threadproof.bench import contenders, results
from threadproof.bench.contenders import DICT, LOCKED_DICT
from threadproof.bench.runner import Effort

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "family.json"
PAGE = ROOT / "docs" / "maps.md"
TRIAL = ROOT / "build" / "family.json"


def main() -> int:
    args = arguments(__doc__)
    if not args.render:
        measure(TRIAL if args.trial else RESULT, args.trial)
    if args.trial:
        print(text(results.load(TRIAL)))
    else:
        write_between(PAGE, "measured", text(results.load(RESULT)))
    return 0


def measure(out: Path, trial: bool) -> None:
    sizes, effort = ((200,), Effort(0, 1, 1)) if trial else (family.SIZES, family.EFFORT)
    measured = [DICT, LOCKED_DICT, *contenders.in_module(threadproof.maps)]
    result = family.measure(measured, results.machine(), sizes, effort, say)
    out.parent.mkdir(exist_ok=True)
    results.save(results.Result(result.machine, fewer_samples(result.rows), result.measurements), out)


def text(result: results.Result) -> str:
    measured = f"`python benchmarks/family.py` measured this on {results.where(result.machine)}."
    return f"{measured}\n\n{family.markdown(result)}"


if __name__ == "__main__":
    sys.exit(main())
