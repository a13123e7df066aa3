"""The targets of HashMap, judged from rows written here; and `threadproof bench targets` as users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.test_reports import MACHINE, ROWS, TWO
from tests.kit.hammer import PATIENCE
from threadproof.bench import contenders, plan, targets
from threadproof.bench.contenders import PACKAGES
from threadproof.bench.passes import together
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.runner import Effort
from threadproof.bench.targets import CLAIMS, GROWING, Cell
from threadproof.maps import HashMap

CELLS = [
    Cell("read", "int", 1.1, True, 1.05),
    Cell("read", "str", 0.8, True, 0.9, noisy=True),
    Cell("gain", "int", 1.9, False, 1.95),
]
PEER = next(iter(PACKAGES))
HEAP = targets.EVERY_WORKLOAD[0]


def test_the_rows_of_several_processes_are_one_unless_one_had_a_problem() -> None:
    rows = [
        Row("read", "dict", TWO, 10, [30, 50], 10, [70], 10, 20),
        Row("read", "dict", TWO, 10, [40, 20], 15, [60, 90], 10, 25),
    ]
    both = together(rows)
    assert (both.samples, both.loop, both.alone, both.alone_loop) == ([30, 50, 40, 20], 10, [70, 60, 90], 20)
    assert together([*rows, Row("read", "dict", TWO, problem="hung")]).problem == "hung"


def test_a_target_is_met_when_all_its_cells_are() -> None:
    report = targets.report(CELLS)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines()]
    noisy = "MISSED in 1 of 2, 1 of them noisy"
    assert ["read", "<= 1.1 or <= 0.8", "1.05 ~0.90", "~0.90 (str)", noisy] in rows
    assert ["gain", ">= 1.9", "1.95", "1.95 (int)", "met"] in rows
    assert "- read: str: ~0.90, target <= 0.8" in report
    assert report.endswith("1 of 2 targets met")


def test_a_value_lost_in_noise_meets_no_target() -> None:
    lost = targets.time_ratio(ROWS[7], ROWS[6])
    assert not Cell("read", "int", 1.1, True, lost).met
    assert not Cell("gain", "int", 1.9, False, lost).met
    assert "| nan (int) | MISSED in 1 of 1 |" in targets.report([Cell("read", "int", 1.1, True, lost)])


def test_targets_are_read_as_they_were_written() -> None:
    assert targets.from_json(targets.to_json(MACHINE, CELLS)) == CELLS


def test_a_claim_is_judged_from_the_rows_of_its_scenario() -> None:
    claim = CLAIMS[0]
    (scenario,) = claim.scenarios()
    rows = [
        Row(claim.workload.name, "HashMap", scenario, 100, [2_200, 2_200]),
        Row(claim.workload.name, "dict", scenario, 100, [2_000, 2_600]),
        Row(claim.workload.name, "HashMap", replace(scenario, n=7), 100, [1]),
    ]
    (cell,) = targets.judge(Result(MACHINE, rows))
    assert (cell.target, cell.value, cell.met, cell.noisy) == (claim.target, 1.1, True, False)
    rows[1] = replace(rows[1], samples=[2_000, 3_000, 3_000])
    (cell,) = targets.judge(Result(MACHINE, rows))
    assert cell.noisy


def test_a_row_with_a_problem_cannot_be_judged() -> None:
    claim = CLAIMS[0]
    (scenario,) = claim.scenarios()
    wrong = Row(claim.workload.name, "HashMap", scenario, problem="WRONG ANSWER: 7 at 8")
    with pytest.raises(RuntimeError, match="HashMap, read: WRONG ANSWER: 7 at 8"):
        targets.judge(Result(MACHINE, [wrong]))


def test_the_pause_names_the_size_that_was_measured() -> None:
    (cell,) = targets.judge(Result(MACHINE, [], [Measurement(GROWING, "HashMap", 100_000, value=0.4)]))
    assert (cell.label, cell.met) == ("to 100,000", True)


def test_the_best_peer_counts_and_neither_dict_nor_another_map_of_ours_is_one() -> None:
    rows = [
        Row("read", "HashMap", HEAP, 100, [2_000]),
        Row("read", "dict", HEAP, 100, [1_000]),
        Row("read", "SyncMap", HEAP, 100, [1_000]),
        Row("read", "dict + Lock", HEAP, 100, [8_000]),
        Row("read", PEER, HEAP, 100, [4_000]),
    ]
    lost, cell = targets.judge(Result(MACHINE, rows))
    assert (cell.label, cell.value, cell.met) == (f"read: int, n=1,000, 1 thread; {PEER}", 2.0, True)
    assert (lost.value, lost.met) == (0, True)


def test_every_claim_and_every_workload_is_planned_once() -> None:
    hash_map = contenders.of_contract("HashMap", HashMap)
    steps = plan.steps(hash_map, plan.peers([]), Effort(), quick=False)
    scenarios = [step.job.scenario for step in steps]
    assert len(scenarios) == len(set(scenarios))
    names = [(s.job.scenario, workload.name) for s in steps for workload in s.job.workloads]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "arguments", [("targets", "read"), ("targets", "--maps", "dict"), ("targets", "--size", "10")]
)
def test_targets_choose_their_own_maps_and_sizes(arguments: tuple[str, ...]) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stderr == (
        "threadproof bench: targets stands alone, or with --quick, --json OUT and --plot OUT\n"
    )


@pytest.mark.slow
def test_the_command_measures_judges_and_stores(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = bench("targets", "--quick", "--json", str(out))
    assert done.returncode in (0, 3), done.stderr
    cells = targets.from_json(out.read_text())
    small = {claim.target for claim in CLAIMS if claim.target and claim.n == targets.SMALL}
    assert {cell.target for cell in cells} >= small
    assert json.loads(out.read_text())["machine"]["python"] in done.stdout
    assert done.returncode == (0 if all(cell.met for cell in cells) else 3)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "threadproof", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
