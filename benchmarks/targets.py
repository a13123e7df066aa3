"""Measure the targets of HashMap, and print which are met; the exit code is 3 if one is missed.

python benchmarks/targets.py              all targets, five passes; half an hour
python benchmarks/targets.py --quick      small maps and few rounds; a minute
python benchmarks/targets.py --json OUT   and write all cells to OUT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pages import targets
from pages.passes import say
from threadproof.bench import contenders, results
from threadproof.bench.run import QUICK
from threadproof.findings import ExitCode
from threadproof.maps import HashMap


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, small maps: to see that it works")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all cells to this file")
    args = parser.parse_args()
    hash_map = contenders.of_contract("HashMap", HashMap)
    installed, missing = contenders.installed()
    effort = QUICK if args.quick else targets.EFFORT
    cells, _ = targets.measure(hash_map, targets.others(installed), effort, args.quick, say)
    print(targets.report(cells))
    print("".join(f"\nnot installed, so not compared with: {name}" for name in missing))
    if args.json:
        machine = results.machine(contenders.versions(installed))
        args.json.write_text(targets.to_json(machine, cells), encoding="utf-8")
    return ExitCode.OK if all(cell.met for cell in cells) else ExitCode.TARGET_MISSED


if __name__ == "__main__":
    sys.exit(main())
