"""The picture of the designs: throughput over threads, and over the share of writes, in a line for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from pages import designs
from threadproof.bench import results
from threadproof.bench.results import Result

# In px. A README on GitHub is 880 wide, so 13 px here are 13 px there.
WIDTH, HEIGHT, MARGIN = 880, 440, 16
TOP, BOTTOM = 96, 372  # of the panels
LABELS = 128  # the longest name of a design, at 13 px
PANEL = (WIDTH - 2 * MARGIN) // 2
AXIS = 34  # the numbers at the left of a panel
LINE = 15  # the least distance of two names

THREADS_AT = "95/5"  # the workload of the left panel
SHARES_AT = 2  # the threads of the right panel

# A colour for each kind of design; the same dashed: with a lock in Python, or with reader-writer locks.
STYLES = {
    "dict + Lock": "dict dashed",
    "64 dicts + Locks": "shards dashed",
    "LockedMap": "lock",
    "LockedMap, rw": "lock dashed",
    "ShardedMap": "stripes",
    "ShardedMap, rw": "stripes dashed",
    "HashMap": "map",
    "SyncMap": "sync",
    "SnapshotMap": "trie",
}

# GitHub's colours, light and dark. The picture has its own background, so it can be read on any page.
STYLE = """\
:root { --paper: #fff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --dict: #8c959f; --shards: #59636e;
  --lock: #d4872b; --stripes: #bf3989; --map: #0969da; --sync: #1a7f37; --trie: #8250df; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d; --dict: #7d8590; --shards: #b1bac4;
  --lock: #d29922; --stripes: #db61a2; --map: #4493f8; --sync: #3fb950; --trie: #a371f7; } }
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-size: 18px; font-weight: 600; } .panel { font-weight: 600; } .faint { fill: var(--faint); }
.right { text-anchor: end; } .middle { text-anchor: middle; }
.paper { fill: var(--paper); } .grid { stroke: var(--line); } polyline { fill: none; stroke-width: 2; }
.dashed { stroke-dasharray: 5 4; }
""" + "".join(
    f"polyline.{each} {{ stroke: var(--{each}); }} text.{each} {{ fill: var(--{each}); }}\n"
    for each in ("dict", "shards", "lock", "stripes", "map", "sync", "trie")
)

Points = dict[str, list[float]]  # design -> operations per second at each place of the axis


def draw(result: Result) -> str:
    """The whole picture, as SVG."""
    n = min(designs.SIZES)
    threads = [str(each) for each in designs.THREADS]
    shares = [f"{share} %" for share in designs.SHARES.values()]
    by_threads = points(result, [(THREADS_AT, n, each) for each in designs.THREADS])
    by_share = points(result, [(workload, n, SHARES_AT) for workload in designs.SHARES])
    scale = Scale([value for line in (*by_threads.values(), *by_share.values()) for value in line])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Throughput of maps with one lock, 64 locks and none, over threads and over writes</title>",
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        text(MARGIN, 32, "One lock, 64 locks, none", "title"),
        text(MARGIN, 56, f"million operations per second, all threads together; {n:,} int keys", "faint"),
        text(WIDTH - MARGIN, 56, "logarithmic; higher is better", "faint right"),
        *panel(MARGIN, "threads; 5 % writes", threads, by_threads, scale),
        *panel(MARGIN + PANEL, f"share of writes; {SHARES_AT} threads", shares, by_share, scale),
        *foot(result),
        "</svg>\n",
    ]
    return "\n".join(parts)


def points(result: Result, places: Sequence[tuple[str, int, int]]) -> Points:
    """The designs that have a time at each place."""
    found: Points = {}
    for name in designs.names():
        rows = [designs.find(result, workload, name, n, threads) for workload, n, threads in places]
        times = [designs.usual_throughput(row) for row in rows if row is not None]
        if len(times) == len(places):
            found[name] = times
    return found


class Scale:
    """A logarithmic axis of operations per second, from the top of the panels to their bottom."""

    def __init__(self, values: Sequence[float]) -> None:
        # with no values, as a short trial on a busy machine may have none: some axis
        self.least = math.log10(min(values, default=1e6) * 0.9)
        self.most = math.log10(max(values, default=1e6) * 1.1)

    def y(self, value: float) -> float:
        share = (math.log10(value) - self.least) / (self.most - self.least)
        return BOTTOM - share * (BOTTOM - TOP)

    def ticks(self) -> list[float]:
        """1, 2, 5, 10, ... million, as far as the axis goes."""
        all_ticks = [digit * 10.0**power for power in range(3, 10) for digit in (1, 2, 5)]
        return [each for each in all_ticks if self.least <= math.log10(each) <= self.most]


def panel(left: int, title: str, places: Sequence[str], lines: Points, scale: Scale) -> Iterator[str]:
    """One diagram; the names of the designs are at the ends of their lines."""
    first, last = left + AXIS, left + PANEL - LABELS
    xs = [first + (last - first) * place / (len(places) - 1) for place in range(len(places))]
    yield text(first, TOP - 14, f"over {title}", "panel")
    for tick in scale.ticks():
        y = scale.y(tick)
        yield f'<line class="grid" x1="{first}" x2="{last}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield text(first - 6, y + 4, f"{tick / 1e6:g}", "faint right")
    for x, place in zip(xs, places, strict=True):
        yield text(x, BOTTOM + 20, place, "faint middle")
    for name, line in lines.items():
        where = " ".join(f"{x:.1f},{scale.y(value):.1f}" for x, value in zip(xs, line, strict=True))
        yield f'<polyline class="{STYLES[name]}" points="{where}"/>'
    ends = apart({name: scale.y(line[-1]) for name, line in lines.items()})
    for name, y in ends.items():
        yield text(last + 8, y + 4, name, STYLES[name].split()[0])


def apart(wanted: dict[str, float]) -> dict[str, float]:
    """The names' heights, moved so that no two overlap."""
    found: dict[str, float] = {}
    lowest = BOTTOM - LINE * (len(wanted) - 1)
    for place, name in enumerate(sorted(wanted, key=wanted.__getitem__)):
        before = max(found.values(), default=-math.inf)
        found[name] = max(before + LINE, min(wanted[name], lowest + LINE * place))
    return found


def foot(result: Result) -> Iterator[str]:
    yield text(MARGIN, HEIGHT - 16, results.where(result.machine | {"packages": {}}), "faint")
    yield text(WIDTH - MARGIN, HEIGHT - 16, "written by: python benchmarks/write.py", "faint right")


def text(x: float, y: float, words: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
