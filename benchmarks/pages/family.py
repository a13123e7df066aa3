"""The table of docs/maps.md: every map in every workload that tells them apart, as a ratio to dict + Lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from threadproof.bench import isolate, tables
from threadproof.bench.memory import BYTES, bytes_per_entry
from threadproof.bench.pauses import NOTHING, WORST_PAUSE, worst_pauses
from threadproof.bench.results import Figure, Result, Row
from threadproof.bench.rivals import Rival
from threadproof.bench.stage import Effort
from threadproof.bench.workloads import WORKLOADS, Scene

SIZES = (1_000, 1_000_000)
THREADS = (1, 2)
NAMES = (
    "read", "99/1", "95/5", "50/50", "write", "99/1 new", "95/5 new", "50/50 new", "write new",
    "mass delete", "clear and refill", "iterate while writing",
)  # fmt: skip
TITLES = {
    "read": "100/0",
    "write": "0/100",
    "99/1": "99/1, stable keys",
    "95/5": "95/5, stable keys",
    "50/50": "50/50, stable keys",
    "99/1 new": "99/1, new keys",
    "95/5 new": "95/5, new keys",
    "50/50 new": "50/50, new keys",
    "write new": "0/100, new keys",
}
OPERATIONS = 20_000  # of each thread in a sample: a map written in Python takes some 50 ms for them
EFFORT = Effort(seconds=0.3, least=1, most=1_000)
PAUSE_ROUNDS = 3


def measure(
    rivals: Sequence[Rival],
    machine: dict[str, object],
    sizes: Sequence[int] = SIZES,
    effort: Effort = EFFORT,
    show: Callable[[str], None] = print,
) -> Result:
    """Measure everything; `show` is told what comes next."""
    rows: list[Row] = []
    figures: list[Figure] = []
    for n, threads in product(sizes, THREADS):
        scene = Scene(heap=True, n=n, operations=OPERATIONS, threads=threads)
        show(f"{n:,} keys, {scene.crowd}")
        rows += isolate.measure(
            isolate.Job(scene, [WORKLOADS[name] for name in NAMES], rivals, effort, False)
        )
        figures += worst_pauses(rivals, n, threads, PAUSE_ROUNDS)
        figures += bytes_per_entry(rivals, n) if threads == 1 else []
    return Result(machine, rows, figures)


def markdown(result: Result) -> str:
    """The tables, one for each size and number of threads, and what did not take part."""
    parts = []
    for scene, rows in tables.by_scene(result.rows).items():
        parts.append(f"**{scene.n:,} keys, {scene.crowd}**\n\n{table(rows, result.figures, scene)}")
    parts += ["\n".join(f"- {line}" for line in tables.problems(result.rows))] * bool(
        tables.problems(result.rows)
    )
    return "\n\n".join(parts)


def table(rows: Sequence[Row], figures: Sequence[Figure], scene: Scene) -> str:
    workloads, rivals, cells = tables.grid(rows)
    lines = [["", *rivals]]
    for workload in workloads:
        base = cells.get((workload, tables.BASE))
        ratios = [tables.ratio(cells.get((workload, rival)), base) for rival in rivals]
        lines.append([TITLES.get(workload, workload), *(short(ratio) for ratio in ratios)])
    pauses = [of(figures, WORST_PAUSE, rival, scene) for rival in rivals]
    lines.append(
        [f"{WORST_PAUSE} ({short(of(figures, WORST_PAUSE, NOTHING.name, scene))})", *map(short, pauses)]
    )
    sizes = [of(figures, BYTES, rival, scene) for rival in rivals]
    lines.append([BYTES, *("-" if size is None else f"{size:.0f}" for size in sizes)])
    return tables.columns(lines)


def of(figures: Sequence[Figure], what: str, rival: str, scene: Scene) -> float | None:
    """Pick a figure; bytes are the same for any number of threads."""
    found = [
        figure.value
        for figure in figures
        if (figure.what, figure.rival, figure.n, figure.problem) == (what, rival, scene.n, "")
        and (what == BYTES or figure.threads == scene.threads)
    ]
    return found[0] if found else None


def short(value: float | None) -> str:
    """Two digits that count."""
    return "-" if value is None else f"{value:.2g}" if value < 100 else f"{value:.0f}"
