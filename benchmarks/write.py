"""Write the tables of README.md, docs/benchmarks.md and docs/maps.md, and the pictures, from kept results.

python benchmarks/write.py                 from benchmarks/results; nothing is measured
python benchmarks/write.py --print FILE    print the tables of another result
python benchmarks/write.py --keep FILE     first keep FILE, written by `threadproof bench targets --json` or
                                           by measure.py, as the next of benchmarks/results/targets-N.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pages import benchmarks, designs, family, lines, readme
from pages.markers import write_between
from threadproof.bench import plot, results, targets
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
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep a run of the targets")
    args = parser.parse_args()
    if args.keep:
        keep(args.keep)
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


def keep(run: Path) -> None:
    """Keep the judged cells of a run, with the date and the commit that was measured, which must be HEAD."""
    text = run.read_text(encoding="utf-8")
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=9", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    stored = json.loads(text)
    cells = targets.judge(results.load(run)) if "rows" in stored else targets.from_json(text)
    machine = stored["machine"] | {"commit": commit}
    number = len(list(KEPT.glob("targets-*.json"))) + 1
    (KEPT / f"targets-{number}.json").write_text(targets.to_json(machine, cells), encoding="utf-8")


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
