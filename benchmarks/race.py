"""Measure the cost of the race detector: CPU time and memory with it, relative to those without it.

    python benchmarks/race.py                    all programs, some minutes; prints a markdown table
    python benchmarks/race.py --quick            one round; a minute
    python benchmarks/race.py --only lists       programs whose name contains this; may be repeated
    python benchmarks/race.py --others PYTHON    also pyvft==0.2.0 and threadcheck==0.0.1.2, with the
                                                 interpreter of an environment that has them
    python benchmarks/race.py --json out.json    all samples, too

The programs are in benchmarks/race_programs; two need mistune and sqlglot (dependency group `race-bench`),
and are skipped without them. Each run is a process of its own, with many repeats, of which the second half
counts; `first` is the first repeat, relative to the first one without the detector.
Rounds interleave the ways to run a program, and the least CPU time of each way counts, since other users of
the machine can only slow a run down. `watched` has a second thread alive, which waits, so every access is
judged. `before` is watched, too, but starts no thread. `sampled` judges some of the accesses, so some repeats
are fast and some are slow: there the mean of the best process counts. The repeats are so many that the pauses
of the garbage collector, some twenty repeats apart, are in all means alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

RUN = Path(__file__).with_name("race_run.py")
PROGRAMS = ["attributes", "dicts", "lists", "calls", "markdown", "sql"]
HEAP = "objects"  # for the memory of a watched heap
NEEDS = {"markdown": "mistune", "sql": "sqlglot"}
OTHERS = {"pyvft": ["-m", "pyvft"], "threadcheck": ["-m", "threadcheck", "run", "-q"]}
PATIENCE = 60  # seconds for one run: another detector that takes a thousand times as long has failed


class WrongAnswerError(Exception):
    """A program has another result than without the detector."""


@dataclass
class Samples:
    """All samples of one way to run one program."""

    answers: set[str] = field(default_factory=set)
    seconds: list[list[float]] = field(default_factory=list)  # of each process, of each repeat
    kilobytes: list[int] = field(default_factory=list)

    def first(self) -> float:
        return min(seconds[0] for seconds in self.seconds)

    def least(self) -> float:
        return min(second for seconds in self.seconds for second in settled(seconds))

    def mean(self) -> float:
        return min(sum(settled(seconds)) / len(settled(seconds)) for seconds in self.seconds)

    def add(self, measured: dict[str, list[str] | list[float] | int]) -> None:
        self.answers |= set(measured["answers"])  # type: ignore[arg-type]
        self.seconds.append(measured["seconds"])  # type: ignore[arg-type]
        self.kilobytes.append(measured["kilobytes"])  # type: ignore[arg-type]


# column: (the way to run it, the way it is compared with, the statistic of each)
WAYS: dict[str, tuple[str, str, Callable[[Samples], float]]] = {
    "first": ("watched", "two threads", Samples.first),
    "watched": ("watched", "two threads", Samples.least),
    "sampled": ("sampled", "two threads", Samples.mean),
    "before": ("before the first start", "one thread", Samples.least),
}
Measured = dict[str, dict[str, Samples]]  # program: way: samples


def settled(seconds: list[float]) -> list[float]:
    """The repeats that count: instructions without a variable are not watched after a thousand times."""
    return seconds[len(seconds) // 2 :]


def main() -> int:
    args = parse_arguments()
    rounds, repeats = (1, 12) if args.quick else (2, 60)
    programs = [name for name in [*PROGRAMS, HEAP] if wanted(name, args.only)]
    try:
        measured = {program: measure(program, rounds, repeats, args.others) for program in programs}
    except WrongAnswerError as error:
        print(f"WRONG ANSWER: {error}", file=sys.stderr)
        return 1
    print(table(measured, [*WAYS, *(OTHERS if args.others else ())]))
    if args.json:
        args.json.write_text(json.dumps(as_data(measured), indent=1) + "\n", encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of twelve repeats")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="programs with TEXT in their name"
    )
    parser.add_argument("--others", metavar="PYTHON", help="an interpreter that has pyvft and threadcheck")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all samples to this file")
    return parser.parse_args()


def wanted(program: str, only: list[str]) -> bool:
    library = NEEDS.get(program)
    if library and importlib.util.find_spec(library) is None:
        print(f"left out: {program}, which needs {library}", file=sys.stderr)
        return False
    return not only or any(text in program for text in only)


def measure(program: str, rounds: int, repeats: int, others: str | None) -> dict[str, Samples]:
    """Every way to run the program, round after round; the other detectors, which are slow, once."""
    ways = dict.fromkeys(way for column in WAYS.values() for way in column[:2])
    samples = {way: Samples() for way in ways}
    for _ in range(rounds):
        for way in ways:
            samples[way].add(run([sys.executable, str(RUN)], way, program, repeats))
    if len(answers := set().union(*(each.answers for each in samples.values()))) > 1:
        raise WrongAnswerError(f"{program} has the results {' and '.join(sorted(answers))}")
    for name, command in OTHERS.items() if others and program != HEAP else ():
        samples[name] = Samples()
        samples[name].add(run([str(others), *command, str(RUN)], "two threads", program, 1))
    return samples


def run(command: list[str], way: str, program: str, repeats: int) -> dict[str, list[str] | list[float] | int]:
    """The output of race_run.py for one run; empty lists if another detector breaks the program."""
    ours = command[1] == str(RUN)
    environment = os.environ | {"RACE_RUN": f"{way},{program},{repeats}", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as late:
        if ours:
            raise
        done = subprocess.CompletedProcess(late.cmd, 1, "", "")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"answers"')]
    if not lines and ours:
        raise WrongAnswerError(f"{program}, {way}: {done.stderr.strip()}")
    measured: dict[str, list[str] | list[float] | int] = (
        json.loads(lines[0]) if lines else {"answers": [], "seconds": [], "kilobytes": 0}
    )
    return measured


def ratio(samples: dict[str, Samples], column: str) -> float | None:
    way, reference, statistic = WAYS.get(column, (column, "two threads", Samples.least))
    if way not in samples or not any(samples[way].seconds):
        return None
    return statistic(samples[way]) / statistic(samples[reference])


def memory(samples: dict[str, Samples]) -> float:
    return min(samples["watched"].kilobytes) / min(samples["two threads"].kilobytes)


def table(measured: Measured, columns: list[str]) -> str:
    lines = [["", "alone, ms", *columns, "memory"], ["---"] * (len(columns) + 3)]
    for program, samples in measured.items():
        milliseconds = f"{1000 * samples['two threads'].least():.1f}"
        cells = [cell(ratio(samples, column)) for column in columns]
        lines.append([program, milliseconds, *cells, cell(memory(samples))])
    timed = [samples for program, samples in measured.items() if program != HEAP]
    means = [cell(mean(ratio(samples, column) for samples in timed)) for column in columns]
    lines.append(["geometric mean", "", *means, ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(ratios: Iterable[float | None]) -> float | None:
    """The geometric mean of those that are known."""
    known = [ratio for ratio in ratios if ratio]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else None


def cell(value: float | None) -> str:
    if value is None:
        return "breaks"
    return f"{value:.0f}x" if value >= 10 else f"{value:.2f}x"


def as_data(measured: Measured) -> dict[str, object]:
    return {
        "python": sys.version,
        "programs": {
            program: {way: asdict(each) | {"answers": sorted(each.answers)} for way, each in samples.items()}
            for program, samples in measured.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
