"""Draw README's picture, docs/throughput.svg, from the results that benchmarks/measure.py keeps.

python benchmarks/picture.py                                  write the picture; nothing is measured
python benchmarks/picture.py --results in.json --out out.svg  from other results, to another file
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from threadproof.bench import results
from threadproof.bench.results import Result, Row

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "cells.json"
PICTURE = ROOT / "docs" / "throughput.svg"

MAPS = {"dict": "dict", "dict + Lock": "lock", "HashMap": "map"}  # and the CSS class of their bars
WORKLOADS = {
    "read": "reads only",
    "95/5": "95 % reads, 5 % writes",
    "50/50": "half reads, half writes",
    "write": "writes only",
    "churn": "insert and delete",
    "grow": "fill an empty map",
}
SIZES = (1_000, 1_000_000)
KIND, THREADS = "int", 2

# In px. A README on GitHub is 880 wide, so 13 px here are 13 px there.
WIDTH, MARGIN = 880, 16
HEAD = 106  # title, legend, and the titles of the panels
LABELS = 160  # the longest name of a workload, at 13 px
PANEL = (WIDTH - 2 * MARGIN - LABELS) // len(SIZES)
LONGEST = PANEL - 104  # the rest holds the number beside the longest bar
BAR, GAP = 13, 13  # a bar, and the space below the bars of a workload
GROUP = len(MAPS) * BAR + GAP
FOOT = 36

# GitHub's colours, light and dark. The picture has its own background, so it can be read on any page.
STYLE = """\
:root { --paper: #fff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0;
  --dict: #8c959f; --lock: #d4872b; --map: #0969da; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d;
  --dict: #7d8590; --lock: #d29922; --map: #4493f8; } }
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-size: 18px; font-weight: 600; } .panel { font-weight: 600; } .faint { fill: var(--faint); }
.value { font-size: 12px; fill: var(--faint); } .best { font-weight: 600; fill: var(--ink); }
.paper { fill: var(--paper); } .axis { stroke: var(--line); }
.dict { fill: var(--dict); } .lock { fill: var(--lock); } .map { fill: var(--map); }
"""


class MissingTimeError(Exception):
    """The results lack a time that the picture shows."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args()
    try:
        args.out.write_text(draw(results.load(args.results)), encoding="utf-8")
    except MissingTimeError as error:
        parser.error(f"{args.results}: {error}")
    return 0


def draw(result: Result) -> str:
    """The whole picture, as SVG."""
    height = HEAD + GROUP * len(WORKLOADS) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Throughput of two threads that share a dict, a dict with a lock, or a HashMap</title>",
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        *head(),
        *labels(),
        *(line for place, n in enumerate(SIZES) for line in panel(result, n, left(place))),
        *foot(result, height),
        "</svg>\n",
    ]
    return "\n".join(parts)


def left(place: int) -> int:
    """Where the bars of a panel begin."""
    return MARGIN + LABELS + place * PANEL


def head() -> Iterator[str]:
    yield text(MARGIN, 32, "Two threads share one map", "title")
    yield text(MARGIN, 56, "million operations per second, both threads together; longer is better", "faint")
    x = left(1)
    for name, style in MAPS.items():
        yield f'<rect class="{style}" x="{x}" y="21" width="{BAR}" height="{BAR}"/>'
        yield text(x + BAR + 6, 32, name)
        x += BAR + 8 * len(name) + 26  # 8: a wide letter
    yield text(left(1), 56, "in brackets: HashMap as a multiple of dict + Lock", "faint")


def labels() -> Iterator[str]:
    for place, label in enumerate(WORKLOADS.values()):
        yield text(MARGIN, HEAD + GROUP * place + 1.5 * BAR + 4, label)


def panel(result: Result, n: int, x: int) -> Iterator[str]:
    """The bars of all workloads at one size, on one scale."""
    rows = {(workload, name): find(result, workload, name, n) for workload in WORKLOADS for name in MAPS}
    scale = LONGEST / max(row.throughput for row in rows.values())
    bottom = HEAD + GROUP * len(WORKLOADS) - GAP
    yield text(x, HEAD - 16, f"{n:,} keys", "panel")
    yield f'<line class="axis" x1="{x}" x2="{x}" y1="{HEAD - 6}" y2="{bottom + 6}"/>'
    for place, workload in enumerate(WORKLOADS):
        base = rows[workload, "dict + Lock"]
        for bar, name in enumerate(MAPS):
            yield from draw_bar(x, HEAD + GROUP * place + BAR * bar, scale, rows[workload, name], base)


def find(result: Result, workload: str, name: str, n: int) -> Row:
    """The row of a map in a workload; MissingTimeError if it has no time."""
    for row in result.rows:
        scenario = (row.scenario.kind, row.scenario.n, row.scenario.threads)
        found = (row.workload, row.contender, *scenario) == (workload, name, KIND, n, THREADS)
        if found and row.scenario.heap and not row.lost:
            return row
    raise MissingTimeError(f"no time of {name} in {workload!r}, {KIND} keys, n={n:,}, {THREADS} threads")


def draw_bar(x: int, y: int, scale: float, row: Row, base: Row) -> Iterator[str]:
    """One bar and its number."""
    length = row.throughput * scale
    number, style = f"{row.throughput / 1e6:.1f}", "value"
    if row.contender == "HashMap":
        number, style = f"{number} ({row.throughput / base.throughput:.1f}x)", "value best"
    yield f'<rect class="{MAPS[row.contender]}" x="{x}" y="{y}" width="{length:.1f}" height="{BAR - 1}"/>'
    yield text(x + length + 6, y + BAR - 3, number, style)


def foot(result: Result, height: int) -> Iterator[str]:
    machine = results.where(result.machine | {"packages": {}})
    yield text(MARGIN, height - 16, f"{machine}; {KIND} keys", "faint")
    yield text(left(1), height - 16, "written by: python benchmarks/picture.py", "faint")


def text(x: float, y: float, words: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


if __name__ == "__main__":
    sys.exit(main())
