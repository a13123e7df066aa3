"""Measure everything that docs/benchmarks.md shows, and write it there.

python benchmarks/page.py            measure, keep the results in benchmarks/results, write the page
python benchmarks/page.py --render   write the page again from the kept results
python benchmarks/page.py --targets  measure the targets again, and keep the rows of all workloads
python benchmarks/page.py --try      small and short, into build/: to see that it works
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import memory, pauses, targets
from pages.ceiling import ceiling
from pages.markers import arguments, write_between
from pages.passes import say
from pages.rows import fewer_samples, losses
from threadproof.bench import contenders, latency, plot, results, scaling, tables
from threadproof.bench.contenders import Contender
from threadproof.bench.results import Measurement, Result
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.maps import HashMap

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results"
TRIAL = ROOT / "build" / "page"
PAGE = ROOT / "docs" / "benchmarks.md"
CEILING = "2 processes that share nothing, throughput gained over one"
HASH_MAP = contenders.of_contract("HashMap", HashMap)


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
    installed, missing = contenders.installed()
    if missing and not trial:
        sys.exit(f"not installed: {', '.join(missing)}; `make bench` installs them")
    others = targets.others(installed)
    effort = Effort(0, 1, 1) if trial else targets.EFFORT
    cells, rows = targets.measure(HASH_MAP, others, effort, trial, say)
    measurements = single_measurements([HASH_MAP, *others], trial)
    machine = results.machine(contenders.versions(others))
    results.save(Result(machine, fewer_samples(rows), measurements), folder / "bench.json")
    (folder / "targets.json").write_text(targets.to_json(machine, cells), encoding="utf-8")
    plot.write(Result(machine, rows), folder / "bench.html")


def measure_targets(folder: Path) -> None:
    kept = results.load(folder / "bench.json")
    cells = targets.without_peers(HASH_MAP, targets.EFFORT, False, say)
    cells += targets.against_peers(HASH_MAP.name, kept.rows)
    (folder / "targets.json").write_text(targets.to_json(kept.machine, cells), encoding="utf-8")


def single_measurements(measured: list[Contender], trial: bool) -> list[Measurement]:
    """The measurements that are no rows: pauses, bytes, percentiles, and the machine's ceiling."""
    n = 10_000 if trial else 1_000_000
    say("pauses, bytes, percentiles")
    measurements = [*pauses.worst_pauses(measured, n, 1), *pauses.worst_pauses(measured, n, 2)]
    measurements += memory.bytes_per_entry(measured, 1_000) + memory.bytes_per_entry(measured, n)
    scenario = Scenario(heap=True, n=1_000, operations=2_000 if trial else 200_000, threads=2)
    measurements += latency.latencies(measured, scenario, rate=100_000)
    return [*measurements, Measurement(CEILING, "dict", 1_000, 2, ceiling(2, 1_000))]


# --- writing ---


def sections(folder: Path) -> dict[str, str]:
    """The parts of the page, by the names of their markers."""
    result = results.load(folder / "bench.json")
    cells = targets.from_json((folder / "targets.json").read_text(encoding="utf-8"))
    return {
        "machine": f"Measured on {results.where(result.machine)}.",
        "targets": targets.report(cells),
        "losses": losses_table(result),
        "rows": tables.report(result.rows),
        "pauses": of_each(result.measurements, pauses.WORST_PAUSE)
        + "\n\n"
        + of_each(result.measurements, memory.BYTES),
        "latency": latency.report([each for each in result.measurements if "loop" in each.what]),
        "scaling": scaling_text(result),
    }


def losses_table(result: Result) -> str:
    lines = [["workload", "map", "of the best's throughput", "best"]]
    for times, own, best in losses(result.rows, HASH_MAP.name):
        where = f"{own.scenario.threads_label}, {own.scenario.label}"
        lines.append([own.workload, where, f"{times:.2f}", best.contender])
    return tables.columns(lines) if len(lines) > 1 else "Nowhere, in this run."


def of_each(measurements: list[Measurement], what: str) -> str:
    """A table of one measurement: a row for each contender, a column for each size and number of threads."""
    own = [each for each in measurements if each.what == what]
    places = list(dict.fromkeys((each.n, each.threads) for each in own))
    cells = {(each.contender, each.n, each.threads): each for each in own}
    lines = [[what, *(f"n={n:,}, {threads} thread{'s' * (threads > 1)}" for n, threads in places)]]
    for contender in dict.fromkeys(each.contender for each in own):
        found = [cells.get((contender, *place)) for place in places]
        lines.append(
            [contender, *("-" if each is None or each.problem else f"{each.value:.3g}" for each in found)]
        )
    return tables.columns(lines)


def scaling_text(result: Result) -> str:
    (gained,) = (each.value for each in result.measurements if each.what == CEILING)
    scenarios = [row.scenario for row in result.rows]
    return f"{CEILING}: {gained:.2f}x. {scaling.report(result.rows, scenarios)}"


if __name__ == "__main__":
    sys.exit(main())
