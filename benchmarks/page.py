"""Measure what docs/benchmarks.md says, and write it there.

python benchmarks/page.py            measure, keep the results in benchmarks/results, write the page
python benchmarks/page.py --render   write the page again from the results that are kept
python benchmarks/page.py --targets  measure the targets again, but keep the rows of all workloads
python benchmarks/page.py --try      small and short, into build/: to see that it works
"""

from __future__ import annotations

import sys
from pathlib import Path

from threadproof.bench import latency, memory, pauses, plot, results, rivals, scaling, tables, targets
from threadproof.bench.pages import arguments, write_between
from threadproof.bench.passes import say
from threadproof.bench.results import Figure, Result
from threadproof.bench.stage import Effort
from threadproof.bench.workloads import Scene
from threadproof.cli.bench import TARGET_EFFORT, the_map, versions

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results"
TRIAL = ROOT / "build" / "page"
PAGE = ROOT / "docs" / "benchmarks.md"
CEILING = "2 processes that share nothing, throughput gained over one"
NAME = "HashMap"


def main() -> int:
    args = arguments(__doc__, targets="keep the rows of all workloads")
    folder = TRIAL if args.trial else KEPT
    folder.mkdir(parents=True, exist_ok=True)
    if args.targets:
        measure_targets(folder)
    elif not args.render:
        measure(folder, args.trial)
    if args.trial:
        print("\n\n".join(f"## {name}\n\n{text}" for name, text in sections(folder).items()))
    else:
        for name, text in sections(folder).items():
            write_between(PAGE, name, text)
    return 0


# --- measuring ---


def measure(folder: Path, trial: bool) -> None:
    installed, missing = rivals.installed()
    if missing and not trial:
        sys.exit(f"not installed: {', '.join(missing)}; `make bench` installs them")
    others = targets.others(installed)
    effort = Effort(0, 1, 1) if trial else TARGET_EFFORT
    cells, rows = targets.measure(the_map(), others, effort, trial, say)
    figures = one_figures([the_map(), *others], trial)
    machine = results.machine(versions(others))
    results.save(Result(machine, results.fewer_samples(rows), figures), folder / "bench.json")
    (folder / "targets.json").write_text(targets.to_json(machine, cells), encoding="utf-8")
    plot.write(Result(machine, rows), folder / "bench.html")


def measure_targets(folder: Path) -> None:
    kept = results.load(folder / "bench.json")
    cells = targets.without_peers(the_map(), TARGET_EFFORT, False, say)
    cells += targets.against_peers(NAME, kept.rows)
    (folder / "targets.json").write_text(targets.to_json(kept.machine, cells), encoding="utf-8")


def one_figures(players: list[rivals.Rival], trial: bool) -> list[Figure]:
    """What is no row: pauses, bytes, percentiles, and the machine's own ceiling."""
    n = 10_000 if trial else 1_000_000
    say("pauses, bytes, percentiles")
    figures = [*pauses.worst_pauses(players, n, 1), *pauses.worst_pauses(players, n, 2)]
    figures += memory.bytes_per_entry(players, 1_000) + memory.bytes_per_entry(players, n)
    scene = Scene(heap=True, n=1_000, operations=2_000 if trial else 200_000, threads=2)
    figures += latency.latencies(players, scene, rate=100_000)
    return [*figures, Figure(CEILING, "dict", 1_000, 2, scaling.ceiling(2, 1_000))]


# --- writing ---


def sections(folder: Path) -> dict[str, str]:
    """The parts of the page, by the names of their markers."""
    result = results.load(folder / "bench.json")
    cells = targets.from_json((folder / "targets.json").read_text(encoding="utf-8"))
    return {
        "machine": f"Measured on {results.where(result.machine)}.",
        "targets": targets.report(cells),
        "losses": losses(result),
        "rows": tables.report(result.rows),
        "pauses": of_each(result.figures, pauses.WORST_PAUSE)
        + "\n\n"
        + of_each(result.figures, memory.BYTES),
        "latency": latency.report([figure for figure in result.figures if "loop" in figure.what]),
        "scaling": ceiling(result),
    }


def losses(result: Result) -> str:
    lines = [["workload", "map", "of the best's throughput", "who"]]
    for times, own, best in tables.losses(result.rows, NAME):
        lines.append([own.workload, f"{own.scene.crowd}, {own.scene.label}", f"{times:.2f}", best.rival])
    return tables.columns(lines) if len(lines) > 1 else "Nowhere, in this run."


def of_each(figures: list[Figure], what: str) -> str:
    """A table of one kind of figure: a row for each rival, a column for each size and number of threads."""
    own = [figure for figure in figures if figure.what == what]
    places = list(dict.fromkeys((figure.n, figure.threads) for figure in own))
    cells = {(each.rival, each.n, each.threads): each for each in own}
    lines = [[what, *(f"n={n:,}, {threads} thread{'s' * (threads > 1)}" for n, threads in places)]]
    for rival in dict.fromkeys(figure.rival for figure in own):
        found = [cells.get((rival, *place)) for place in places]
        lines.append(
            [rival, *("-" if each is None or each.problem else f"{each.value:.3g}" for each in found)]
        )
    return tables.columns(lines)


def ceiling(result: Result) -> str:
    (gained,) = (figure.value for figure in result.figures if figure.what == CEILING)
    scenes = [row.scene for row in result.rows]
    return f"{CEILING}: {gained:.2f}x. {scaling.report(result.rows, scenes)}"


if __name__ == "__main__":
    sys.exit(main())
