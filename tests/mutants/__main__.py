"""Make each mistake of `mutants.py` in a copy of the tree, and print the test that fails.

    python -m tests.mutants                           all of them, in some minutes
    python -m tests.mutants --only gate-unseen        one
    python -m tests.mutants --list

Programs of tests/native are compiled as the stress build; for the others threadproof._core is, for the Python
that runs this. The exit code is 1 if a mutant survives, 2 if the tests fail without any.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.mutants import MUTANTS, Mutant
from tests.mutants.run import SURVIVED, failing_anyway, killer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:28} {mutant.file}: {mutant.breaks}")
        return 0
    for tests in sorted({mutant.tests for mutant in chosen}):
        if (by := failing_anyway(tests)) != SURVIVED:
            print(f"without any mutant, {by} fails", file=sys.stderr)
            return 2
    with ThreadPoolExecutor(options.jobs) as pool:
        killers = pool.map(killer, chosen)
        survivors = [mutant for mutant, by in zip(chosen, killers, strict=True) if not shown(mutant, by)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed")
    return 1 if survivors else 0


def shown(mutant: Mutant, by: str) -> bool:
    print(f"{mutant.name:28} {by}", flush=True)
    return by != SURVIVED


def parser() -> argparse.ArgumentParser:
    names = [mutant.name for mutant in MUTANTS]
    made = argparse.ArgumentParser("python -m tests.mutants", description=(__doc__ or "").split("\n\n")[0])
    made.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="this one; may be repeated"
    )
    made.add_argument("--jobs", type=int, default=2, help="how many at once")
    made.add_argument("--list", action="store_true", help="only name them, and what each breaks")
    return made


if __name__ == "__main__":
    sys.exit(main())
