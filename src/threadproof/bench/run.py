"""All measurements of one benchmark command, on maps that the caller gives."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from threadproof.bench import contenders, isolate, traces
from threadproof.bench.contenders import Contender
from threadproof.bench.keys import KINDS
from threadproof.bench.results import Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import WORKLOADS, Workload

QUICK = Effort(seconds=0.05, least=2, most=8)


class UnknownNameError(ValueError):
    """A workload, a map or a kind of key that does not exist; the message has those that do."""


@dataclass(frozen=True)
class Grid:
    """The scenarios to measure: every combination of these."""

    kinds: Sequence[str] = ("int",)
    sizes: Sequence[int] = (1_000, 1_000_000)
    threads: Sequence[int] = (1, 2)
    operations: int = 50_000
    identical: bool = False
    heap: bool = True
    distribution: str = "uniform"

    def scenarios(self) -> list[Scenario]:
        for kind in self.kinds:
            check_name("keys of kind", kind, KINDS)
        return [
            Scenario(kind, self.identical, self.heap, n, self.operations, self.distribution, threads)
            for threads, kind, n in product(self.threads, self.kinds, self.sizes)
        ]


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UnknownNameError(f"no {what} {name!r}; there are {', '.join(known)}")


def choose_workloads(names: Sequence[str]) -> list[Workload]:
    """The workloads of these names, or all."""
    for name in names:
        check_name("workload", name, WORKLOADS)
    return [WORKLOADS[name] for name in names or WORKLOADS]


def choose_contenders(names: Sequence[str], ours: Sequence[Contender]) -> tuple[list[Contender], list[str]]:
    """The contenders of these names, or all; and the names of those whose package is not installed."""
    installed, missing = contenders.installed()
    known = {each.name: each for each in (*contenders.BUILT_IN, *ours, *installed)}
    if not names:
        return list(known.values()), missing
    absent = [name for name in names if name in missing]
    return [find_contender(name, known) for name in names if name not in absent], absent


def find_contender(name: str, known: dict[str, Contender]) -> Contender:
    """A known one, or the one that `module:attribute` makes."""
    if name in known:
        return known[name]
    if ":" not in name:
        raise UnknownNameError(f"no map {name!r}; there are {', '.join(known)}, and module:attribute")
    try:
        return contenders.load(name)
    except (ImportError, AttributeError) as error:
        raise UnknownNameError(f"cannot load {name!r}: {error}") from None


def replayed(path: Path, form: str, most: int | None) -> tuple[Workload, int, int]:
    """The workload that replays a trace's first `most` requests, and the numbers of its requests and keys."""
    requests = traces.read_trace(path, form, most or sys.maxsize)
    return traces.replay(path, requests), len(requests), max(requests) + 1


def measure(
    scenarios: Sequence[Scenario],
    workloads: Sequence[Workload],
    chosen: Sequence[Contender],
    effort: Effort,
) -> Iterator[Row]:
    """Yield each row as it is measured."""
    for scenario in scenarios:
        yield from isolate.measure(isolate.Job(scenario, workloads, chosen, effort))
