"""What came out of a run: rows, and the machine they come from; written as JSON and read back."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from threadproof.bench.crew import usable_cpus
from threadproof.bench.workloads import Scene

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """What one rival did in one workload of one scene."""

    workload: str
    rival: str
    scene: Scene
    operations: int = 0  # of each thread, in a sample
    samples: list[int] = field(default_factory=list)  # ns until all threads had done that
    loop: int = 0  # of these, ns of the loop without the operations
    alone: list[int] = field(default_factory=list)  # ns of one thread, on a map that no thread made
    alone_operations: int = 0
    alone_loop: int = 0
    problem: str = ""  # why there are no samples, or why they are worth nothing

    @property
    def nanoseconds(self) -> float:
        """The least ns of an operation, and of a thread, the loop taken off."""
        return max(min(self.samples) - self.loop, 1) / self.operations

    @property
    def median(self) -> float:
        return max(statistics.median(self.samples) - self.loop, 1) / self.operations

    @property
    def spread(self) -> float:
        """By how much of the minimum the median is above it."""
        return self.median / self.nanoseconds - 1

    @property
    def lost(self) -> bool:
        """Whether there is nothing to tell: a problem, or such noise that the loop alone took longer."""
        return bool(self.problem) or min(self.samples) <= self.loop

    @property
    def throughput(self) -> float:
        """Operations of all threads in a second."""
        return self.scene.threads * 1e9 / self.nanoseconds

    @property
    def gain(self) -> float | None:
        """How much more the threads get done than one of them; the loop not taken off."""
        if not self.alone:
            return None
        one = min(self.alone) / self.alone_operations
        return self.scene.threads * one / (min(self.samples) / self.operations)


@dataclass(frozen=True)
class Figure:
    """One number about one rival that is not ns of an operation: `what` says which, and its unit."""

    what: str
    rival: str
    n: int
    threads: int = 1
    value: float = 0.0
    samples: list[float] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """Everything that one command measured."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def machine(packages: dict[str, str] | None = None) -> dict[str, Any]:
    """Describe where this runs: no names, only what the figures depend on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "cpus": len(usable_cpus()),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "packages": packages or {},
    }


def where(machine: dict[str, Any]) -> str:
    """Say it in words."""
    packages = "".join(f", {name} {version}" for name, version in machine["packages"].items())
    gil = "on" if machine["gil"] else "off"
    return f"{machine['python']}, GIL {gil}, {machine['cpus']} CPUs of {machine['processor']}{packages}"


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def save(result: Result, path: Path) -> None:
    data = {
        "format": FORMAT,
        "machine": result.machine,
        "rows": [asdict(row) for row in result.rows],
        "figures": [asdict(figure) for figure in result.figures],
    }
    path.write_text(to_json(data) + "\n", encoding="utf-8")


def to_json(data: dict[str, Any]) -> str:
    """Write one row to a line, so that two results can be compared by eye."""
    lists = [
        f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, data.pop(name))) + "\n ]"
        for name in ("rows", "figures")
    ]
    return json.dumps(data, indent=1)[:-2] + ",\n" + ",\n".join(lists) + "\n}"


def load(path: Path) -> Result:
    """Read what `save` has written."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(**row | {"scene": Scene(**row["scene"])}) for row in data["rows"]]
    return Result(data["machine"], rows, [Figure(**figure) for figure in data["figures"]])


def fewer_samples(rows: Iterable[Row], most: int = 8) -> list[Row]:
    """Keep the least samples and the middle one of each row, for a file to commit."""
    return [replace(row, samples=kept(row.samples, most), alone=kept(row.alone, most)) for row in rows]


def kept(samples: Sequence[int], most: int) -> list[int]:
    """Some of the samples: minimum, median and maximum stay what they are."""
    if len(samples) <= most:
        return list(samples)
    ordered, middle = sorted(samples), len(samples) // 2
    half = (most - 3) // 2
    return [ordered[0], *ordered[middle - half : middle + half + 1], ordered[-1]]


def pyperf(result: Result) -> str:
    """The rows in the format of pyperf, whose `compare_to` then says what changed between two files."""
    benchmarks = [benchmark(row) for row in result.rows if not row.problem]
    common = {
        "unit": "second",
        "python_version": result.machine["python"],
        "cpu_model_name": result.machine["processor"],
    }
    return json.dumps({"version": "1.0", "metadata": common, "benchmarks": benchmarks}, indent=1)


def benchmark(row: Row) -> dict[str, Any]:
    values = [max(sample - row.loop, 1) / row.operations / 1e9 for sample in row.samples]
    name = f"{row.rival}: {row.workload}, {row.scene.label}, {row.scene.threads} threads"
    return {"metadata": {"name": name, "inner_loops": row.operations}, "runs": [{"values": values}]}
