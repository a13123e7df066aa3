"""Count the instructions of one operation, under Valgrind's callgrind: steady on a machine that is not.

    python benchmarks/instructions.py            print the table
    python benchmarks/instructions.py --write    put it into docs/benchmarks.md, too

Two runs of a loop differ in how often they do the operation; the difference of their instruction counts, by
the difference of the operations, is what one costs, the interpreter's part and the loop included. The loop
with nothing in it is a row of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from threadproof.bench import tables
from threadproof.bench.pages import write_between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
FEW, MANY = 20_000, 60_000  # operations of the two runs
N = 1_000

PROGRAM = """
import gc
from threadproof.maps import {map}
gc.disable()
stored = [{key} for i in range({n})]
m = {map}()
for k in stored:
    m[k] = None
keys = [{used} for i in range({n})]
for k in keys:
    hash(k)

def loop(m, keys):
    for k in keys:
        k
        {operation}

for _ in range({times}):
    loop(m, keys)
"""
KINDS = {"int": "10**6 + i", "str": "f'key:{i}'"}
OPERATIONS = {
    "empty loop": "pass",
    "m[k]": "m[k]",
    "m.get(k)": "m.get(k)",
    "k in m": "k in m",
    "m[k] = None": "m[k] = None",
    "m[k] = None; del m[k]": "m[k] = None; del m[k]",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    args = parser.parse_args()
    text = table()
    print(text)
    if args.write:
        write_between(PAGE, "instructions", text)
    return 0


def table() -> str:
    columns = [(kind, origin) for kind in KINDS for origin in ("identical", "fresh")]
    lines = [
        ["instructions", *(f"{kind}, {origin}: {m}" for kind, origin in columns for m in ("dict", "HashMap"))]
    ]
    for name, operation in OPERATIONS.items():
        lines.append([name])
        for kind, origin in columns:
            lines[-1] += [f"{cost(m, kind, origin, operation):.0f}" for m in ("dict", "HashMap")]
    return tables.columns(lines)


def cost(m: str, kind: str, origin: str, operation: str) -> float:
    """Return the instructions of one operation, with its share of the loop."""
    few, many = (instructions(program(m, kind, origin, operation, count // N)) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def program(m: str, kind: str, origin: str, operation: str, times: int) -> str:
    used = "stored[i]" if origin == "identical" else KINDS[kind]
    text = PROGRAM.format(map=m, key=KINDS[kind], used=used, operation=operation, times=times, n=N)
    return text.replace("from threadproof.maps import dict\n", "")


def instructions(code: str) -> int:
    """Run it under callgrind and return how many instructions it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out",
            sys.executable,
            "-c",
            code,
        ]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        except FileNotFoundError:
            sys.exit("valgrind is not installed; on Debian: apt install valgrind")
        except subprocess.CalledProcessError as error:
            sys.exit(f"valgrind failed: {error.stderr.strip().splitlines()[-1]}")
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
