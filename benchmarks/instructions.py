"""Count the instructions of one operation under Valgrind's callgrind: exact, also on a busy machine.

    python benchmarks/instructions.py            print the table
    python benchmarks/instructions.py --write    put it into docs/benchmarks.md, too

A run with many operations is compared with one that only prepares them. The difference includes the
interpreter's part and the loop; the empty loop is a row of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pages.markers import write_between
from threadproof.bench import tables

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
TIMES = 60  # loops over all keys: by then the interpreter has specialised its instructions
N = 1_000

PROGRAM = """
import gc
{load}
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
KINDS = {  # the expression for stored keys, and for the keys used in the loop
    "int, identical": ("10**6 + i", "stored[i]"),
    "int, fresh": ("10**6 + i", "10**6 + i"),
    "str, fresh": ("f'key:{i}'", "f'key:{i}'"),
}
OPERATIONS = ("pass", "m[k]", "k in m", "m[k] = None", "del m[k]; m[k] = None")
NAMES = {"pass": "the loop alone"}


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
    """A column for each kind of key and each map, a row for each operation."""
    columns = [(kind, m) for kind in KINDS for m in ("dict", "HashMap")]
    before = {place: instructions(program(*place, "pass", 0)) for place in columns}
    lines = [["instructions", *(f"{kind}: {m}" for kind, m in columns)]]
    for operation in OPERATIONS:
        spent = [instructions(program(*place, operation, TIMES)) - before[place] for place in columns]
        lines.append([NAMES.get(operation, operation), *(f"{each / TIMES / N:.0f}" for each in spent)])
    return tables.columns(lines)


def program(kind: str, m: str, operation: str, times: int) -> str:
    made, used = KINDS[kind]
    load = "" if m == "dict" else f"from threadproof.maps import {m}"
    return PROGRAM.format(load=load, map=m, key=made, used=used, operation=operation, times=times, n=N)


def instructions(code: str) -> int:
    """The number of instructions that the code takes under callgrind."""
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
