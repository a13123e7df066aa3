"""The tables of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pages.rows import losses
from threadproof.bench import latency, memory, pauses, results, scaling, tables, targets
from threadproof.bench.ceiling import CEILING
from threadproof.bench.contenders import DICT, LOCKED_DICT, SHARDED_DICT
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.targets import EVERY_WORKLOAD, OURS, PEERS, Cell

SHOWN = {OURS, DICT.name, *PEERS}  # the other maps of this package are in docs/maps.md


# What each peer does not promise, and HashMap does.
NOT_PROMISED = {
    LOCKED_DICT.name: "readers side by side; growing without a long pause; no lock held while `__eq__` runs",
    SHARDED_DICT.name: "an exact `len` and a copy of one instant; no lock held while `__eq__` runs",
    "cereggii.AtomicDict": "the value of the key, always; iteration while others write; memory reused",
    "ft_utils.ConcurrentDict": "an exact `len` and a copy of one instant; iteration while others delete",
}


def sections(result: Result, folder: Path) -> dict[str, str]:
    """The parts of the page, by the names of their markers; `folder` has the stored runs of the targets."""
    rows = [row for row in result.rows if row.scenario in EVERY_WORKLOAD and row.contender in SHOWN]
    measurements = [each for each in result.measurements if each.contender in SHOWN | {"nothing at all"}]
    return {
        "machine": f"Measured on {results.where(result.machine)}.",
        "targets": targets.report(targets.judge(result)),
        "runs": stored_runs(folder),
        "losses": losses_table([row for row in rows if row.contender != DICT.name]),
        "rows": tables.report(rows),
        "pauses": of_each(measurements, pauses.WORST_PAUSE) + "\n\n" + of_each(measurements, memory.BYTES),
        "latency": latency.report([each for each in measurements if "loop" in each.what]),
        "scaling": scaling_text(result, rows),
    }


def stored_runs(folder: Path) -> str:
    """Each target in each stored run of `threadproof bench targets`: how many of its cells are met."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("targets-*.json"))]
    runs = [targets.by_target(targets.from_json(text)) for text in texts]
    names = list(dict.fromkeys(name for run in runs for name in run))
    machines = [json.loads(text)["machine"] for text in texts]
    lines = [["target", *(f"{machine['date']}, {machine['commit']}" for machine in machines)]]
    lines += [[name, *(met(run.get(name, [])) for run in runs)] for name in names]
    return tables.columns(lines) if runs else "No run is stored."


def met(cells: Sequence[Cell]) -> str:
    if not cells:
        return "-"
    reached = sum(cell.met for cell in cells)
    return "met" if reached == len(cells) else f"{reached} of {len(cells)}"


def losses_table(rows: Sequence[Row]) -> str:
    """The cells in which another is ahead, and after it the promises that those do not make."""
    lines = [["workload", "keys", "threads", "of the best's throughput", "best"]]
    found = losses(rows, OURS)
    for times, own, best in found:
        noise = "~" if targets.noisy(own, best) else ""
        keys = f"{own.scenario.n:,} {own.scenario.kind}"
        lines.append([own.workload, keys, str(own.scenario.threads), f"{noise}{times:.2f}", best.contender])
    if not found:
        return "Nowhere, in this run."
    promises = [["ahead", "cells", "not promised there"]]
    for name, missing in NOT_PROMISED.items():
        if cells := sum(best.contender == name for _, _, best in found):
            promises.append([name, str(cells), missing])
    return f"{tables.columns(promises)}\n\n{tables.columns(lines)}"


def of_each(measurements: Sequence[Measurement], what: str) -> str:
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


def scaling_text(result: Result, rows: Sequence[Row]) -> str:
    gained = [f"{CEILING}: {each.value:.2f}x." for each in result.measurements if each.what == CEILING]
    return " ".join([*gained, scaling.report(rows, [row.scenario for row in rows])])
