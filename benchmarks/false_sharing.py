"""The cost of false sharing between writers and readers: SyncMap's core with its padding, and without.

    python benchmarks/false_sharing.py --rounds 9 --json result.json

Builds benchmarks/false_sharing.cpp twice, the second time with -DTHREADPROOF_PACKED, and runs both in turn:
one thread reads settled keys, another stores and deletes keys. Prints the most reads per second of each, and
their ratio. It needs a C++20 compiler (CXX) and two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "benchmarks/false_sharing.cpp"
KINDS = {"padded": [], "packed": ["-DTHREADPROOF_PACKED"]}


def build(kind: str, where: Path) -> Path:
    """The program, compiled with the options of a release."""
    program = where / kind
    compiler = os.environ.get("CXX", "c++")
    flags = ["-std=c++20", "-O3", "-DNDEBUG", "-pthread", f"-I{ROOT / 'src'}", *KINDS[kind]]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True)
    return program


def reads(program: Path) -> float:
    """The reads per second of one run."""
    return float(subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run; the best counts")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as where:
        programs = {kind: build(kind, Path(where)) for kind in KINDS}
        samples: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for done in range(options.rounds):
            for kind, program in programs.items():
                samples[kind].append(reads(program))
            print(f"\r{done + 1} of {options.rounds}", end="", file=sys.stderr)
        print(file=sys.stderr)
    best = {kind: max(each) for kind, each in samples.items()}
    for kind, each in best.items():
        print(f"{kind:8}{each / 1e6:8.1f} million reads a second")
    print(f"ratio   {best['padded'] / best['packed']:8.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(samples, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
