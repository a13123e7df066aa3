"""Measure maps with one lock, many locks, reader-writer locks, none; write a table and a picture of docs.

python benchmarks/designs.py            measure, keep the result in benchmarks/results, write both
python benchmarks/designs.py --render   write both again from the result that is kept
python benchmarks/designs.py --try      small and short, into build/: to see that it works
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import designs, lines
from pages.markers import arguments, write_between
from pages.rows import fewer_samples
from threadproof.bench import results
from threadproof.bench.results import Result
from threadproof.bench.runner import Effort

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "designs.json"
PAGE = ROOT / "docs" / "maps.md"
PICTURE = ROOT / "docs" / "designs.svg"
TRIAL = ROOT / "build" / "designs.json"


def main() -> int:
    args = arguments(__doc__)
    if args.trial:
        result = measure((200,), Effort(0, 1, 1), TRIAL)
        print(text(result))
        TRIAL.with_suffix(".svg").write_text(lines.draw(result), encoding="utf-8")
        return 0
    result = results.load(RESULT) if args.render else measure(designs.SIZES, designs.EFFORT, RESULT)
    write_between(PAGE, "designs", text(result))
    PICTURE.write_text(lines.draw(result), encoding="utf-8")
    return 0


def measure(sizes: tuple[int, ...], effort: Effort, out: Path) -> Result:
    found = designs.measure(
        results.machine(), sizes, effort, lambda step: print(step, file=sys.stderr, flush=True)
    )
    result = Result(found.machine, fewer_samples(found.rows), [])
    out.parent.mkdir(exist_ok=True)
    results.save(result, out)
    return result


def text(result: Result) -> str:
    where = results.where(result.machine | {"packages": {}})
    return f"`python benchmarks/designs.py` measured this on {where}.\n\n{designs.table(result)}"


if __name__ == "__main__":
    sys.exit(main())
