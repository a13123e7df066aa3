"""Write the tables of README.md, docs/benchmarks.md and docs/maps.md, and the pictures, from kept results.

python benchmarks/write.py                 from benchmarks/results; nothing is measured
python benchmarks/write.py --print FILE    print the tables of another result
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pages import benchmarks, designs, family, lines, readme
from pages.markers import write_between
from threadproof.bench import plot, results
from threadproof.bench.results import Result

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results"
README, PAGE, MAPS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "maps.md"
PICTURE = ROOT / "docs" / "designs.svg"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--print", type=Path, metavar="FILE", dest="other", help="of another result")
    args = parser.parse_args()
    result = results.load(args.other or KEPT / "cells.json")
    parts = sections(result)
    if args.other:
        print("\n\n".join(f"## {name}\n\n{text}" for (_, name), text in parts.items()))
        return 0
    for (page, name), text in parts.items():
        write_between(page, name, text)
    PICTURE.write_text(lines.draw(result), encoding="utf-8")
    plot.write(Result(result.machine, result.rows), KEPT / "bench.html")
    return 0


def sections(result: Result) -> dict[tuple[Path, str], str]:
    """The text between each pair of markers, by page and name of the markers."""
    return {
        **{(README, name): text for name, text in readme.sections(result).items()},
        **{(PAGE, name): text for name, text in benchmarks.sections(result, KEPT).items()},
        **{(MAPS, name): text for name, text in family.sections(result).items()},
        **{(MAPS, name): text for name, text in designs.sections(result).items()},
    }


if __name__ == "__main__":
    sys.exit(main())
