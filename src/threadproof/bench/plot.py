"""Ratios as pictures: a row for each workload, a mark for each contender, a logarithmic axis.

As SVG in an HTML page that needs no other file, or as PNG, which needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from threadproof.bench import tables
from threadproof.bench.results import Result, where

LINES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
# Colours that can be told apart by the colour-blind as well (Okabe and Ito), on light and on dark.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C8C00", "#999999", "#882255")
LEFT, RIGHT, ROW, TOP, WIDTH = 190, 30, 26, 60, 900  # px: margins, height of a row, legend, all

STYLE = """\
:root { color-scheme: light dark; --ink: #222; --faint: #ccc; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --faint: #444; --paper: #181818; } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 940px; margin: 2em auto; }
svg { width: 100%; height: auto; } text { fill: var(--ink); font-size: 12px; }
line { stroke: var(--faint); } line.one { stroke: var(--ink); stroke-width: 2; }
circle { stroke: var(--paper); stroke-width: 1.5; } .legend circle { stroke: none; }
"""


class MissingError(Exception):
    """The picture needs a package that is not installed."""


@dataclass(frozen=True)
class Panel:
    """One picture: ratios of contenders in workloads."""

    title: str
    workloads: list[str]
    contenders: list[str]
    ratios: dict[tuple[str, str], float]  # of workload and contender

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the axis: every mark is between them."""
        least, most = min([*self.ratios.values(), 1]), max([*self.ratios.values(), 1])
        low = max([each for each in LINES if each <= least], default=10.0 ** floor(log10(least)))
        return low, min([each for each in LINES if each >= most], default=10.0 ** ceil(log10(most)))


def panels(result: Result, base: str = tables.BASE) -> list[Panel]:
    """One picture for each scenario."""
    return [make_panel(f"{scenario.threads_label}, {scenario.label}", rows, base)
        for scenario, rows in tables.by_scenario(result.rows).items()]  # fmt: skip


def make_panel(title: str, rows: Sequence[Any], base: str) -> Panel:
    workloads, contenders, cells = tables.grid(rows)
    found = {
        place: ratio
        for place, row in cells.items()
        if (ratio := tables.ratio(row, cells.get((place[0], base)))) is not None
    }
    return Panel(title, workloads, contenders, found)


# --- SVG ---


def html(result: Result, base: str = tables.BASE) -> str:
    machine = escape(where(result.machine))
    pictures = "\n".join(f"<h2>{escape(panel.title)}</h2>\n{svg(panel)}" for panel in panels(result, base))
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>threadproof bench</title>\n'
        f"<style>\n{STYLE}</style>\n<h1>Throughput, as a multiple of {escape(base)}</h1>\n"
        f"<p>{machine}. Further right is faster; a mark's tooltip has its number.</p>\n{pictures}\n</html>\n"
    )


def svg(panel: Panel) -> str:
    height = TOP + ROW * len(panel.workloads) + 30
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(panel.title)}">']
    parts += [*legend(panel), *axis(panel, height), *marks(panel), "</svg>"]
    return "\n".join(parts)


def across(panel: Panel, ratio: float) -> float:
    """The ratio's distance from the left, in px."""
    low, high = panel.ends
    share = log10(ratio / low) / log10(high / low) if high > low else 0.5
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def legend(panel: Panel) -> Iterator[str]:
    for number, contender in enumerate(panel.contenders):
        x, y = 14 + number % 5 * 178, 14 + number // 5 * 20
        yield (
            f'<g class="legend"><circle cx="{x}" cy="{y}" r="6" fill="{colour(number)}"/>'
            f'<text x="{x + 11}" y="{y + 4}">{escape(contender)}</text></g>'
        )


def axis(panel: Panel, height: int) -> Iterator[str]:
    low, high = panel.ends
    for ratio in LINES:
        if low <= ratio <= high:
            x, kind = across(panel, ratio), ' class="one"' if ratio == 1 else ""
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 24}"{kind}/>'
            yield f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{ratio:g}x</text>'


def marks(panel: Panel) -> Iterator[str]:
    for row, workload in enumerate(panel.workloads):
        y = TOP + ROW * row + ROW / 2
        yield f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(workload)}</text>'
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke-dasharray="1 5"/>'
        for number, contender in enumerate(panel.contenders):
            ratio = panel.ratios.get((workload, contender))
            if ratio is not None:
                title = f"{escape(contender)}, {escape(workload)}: {ratio:.2f}x"
                yield (
                    f'<circle cx="{across(panel, ratio):.1f}" cy="{y}" r="6" fill="{colour(number)}">'
                    f"<title>{title}</title></circle>"
                )


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


# --- files ---


def write(result: Result, path: Path, base: str = tables.BASE) -> None:
    """Write the pictures: an .html without help, anything else with matplotlib."""
    if path.suffix == ".html":
        path.write_text(html(result, base), encoding="utf-8")
    else:
        with_matplotlib(panels(result, base), path, base)


def with_matplotlib(pictures: Sequence[Panel], path: Path, base: str) -> None:
    try:
        pyplot = import_module("matplotlib.pyplot")
    except ImportError:
        raise MissingError(f"{path.name} needs matplotlib: install it, or write a .html") from None
    heights = [2 + len(panel.workloads) * 0.3 for panel in pictures]
    measurement, every = pyplot.subplots(
        len(pictures), figsize=(11, sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
    )
    for axes, panel in zip(every[:, 0], pictures, strict=True):
        draw(axes, panel, base)
    measurement.savefig(path, dpi=150)


def draw(axes: Any, panel: Panel, base: str) -> None:
    low, high = panel.ends
    shown = [ratio for ratio in LINES if low <= ratio <= high]
    axes.set(title=panel.title, xscale="log", xlim=(low, high), xlabel=f"throughput, as a multiple of {base}")
    axes.set_xticks(shown, [f"{ratio:g}x" for ratio in shown], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(panel.workloads)), panel.workloads)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.axvline(1, color="black")
    for number, contender in enumerate(panel.contenders):
        points = [
            (panel.ratios[workload, contender], row)
            for row, workload in enumerate(panel.workloads)
            if (workload, contender) in panel.ratios
        ]
        x, y = zip(*points, strict=True) if points else ((), ())
        axes.plot(x, y, "o", color=colour(number), label=contender)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
