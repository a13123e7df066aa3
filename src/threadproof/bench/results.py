"""The results of a run: rows, other measurements, and the machine; written as JSON and read back."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from threadproof.bench.scenario import Scenario
from threadproof.bench.workers import usable_cpus

FORMAT = 2  # of the JSON; 1 had other names for the fields


@dataclass(frozen=True)
class Row:
    """One contender in one workload of one scenario."""

    workload: str
    contender: str
    scenario: Scenario
    operations: int = 0  # of each thread, in a sample
    samples: list[int] = field(default_factory=list)  # ns until all threads had done them
    loop: int = 0  # ns of the loop without the operations
    alone: list[int] = field(default_factory=list)  # ns of one thread, on a map that another one made
    alone_operations: int = 0
    alone_loop: int = 0
    problem: str = ""  # why there are no valid samples

    @property
    def nanoseconds(self) -> float:
        """The least ns of one operation of one thread, without the loop."""
        return max(min(self.samples) - self.loop, 1) / self.operations

    @property
    def median(self) -> float:
        return max(statistics.median(self.samples) - self.loop, 1) / self.operations

    @property
    def spread(self) -> float:
        """The distance of the median from the minimum, as a share of the minimum."""
        return self.median / self.nanoseconds - 1

    @property
    def lost(self) -> bool:
        """Whether there is no result: a problem, or noise by which the empty loop took longer."""
        return bool(self.problem) or min(self.samples) <= self.loop

    @property
    def throughput(self) -> float:
        """Operations per second of all threads."""
        return self.scenario.threads * 1e9 / self.nanoseconds

    @property
    def gain(self) -> float | None:
        """The throughput of the threads over that of one of them, both with the loop."""
        if not self.alone:
            return None
        one = min(self.alone) / self.alone_operations
        return self.scenario.threads * one / (min(self.samples) / self.operations)


@dataclass(frozen=True)
class Measurement:
    """A number about a contender that is not ns per operation; `what` is its name and unit."""

    what: str
    contender: str
    n: int
    threads: int = 1
    value: float = 0.0
    samples: list[float] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """All measurements of one command."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)


def machine(packages: dict[str, str] | None = None) -> dict[str, Any]:
    """The facts on which the results depend, without the machine's name."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "cpus": len(usable_cpus()),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "packages": packages or {},
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def where(machine: dict[str, Any]) -> str:
    """The machine in words."""
    packages = "".join(f", {name} {version}" for name, version in machine["packages"].items())
    gil = "on" if machine["gil"] else "off"
    return f"{machine['python']}, GIL {gil}, {machine['cpus']} CPUs of {machine['processor']}{packages}"


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def save(result: Result, path: Path) -> None:
    """Write the result as JSON, which `load` reads."""
    data = {
        "format": FORMAT,
        "machine": result.machine,
        "rows": [asdict(row) for row in result.rows],
        "measurements": [asdict(measurement) for measurement in result.measurements],
    }
    path.write_text(to_json(data) + "\n", encoding="utf-8")


def to_json(data: dict[str, Any]) -> str:
    """One row per line, so that two results can be compared by `diff`."""
    lists = [
        f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, data.pop(name))) + "\n ]"
        for name in ("rows", "measurements")
    ]
    return json.dumps(data, indent=1)[:-2] + ",\n" + ",\n".join(lists) + "\n}"


def load(path: Path) -> Result:
    """Read what `save` has written; ValueError for another format."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if data["format"] != FORMAT:
        raise ValueError(f"{path} has format {data['format']}, and only format {FORMAT} can be read")
    rows = [Row(**row | {"scenario": Scenario(**row["scenario"])}) for row in data["rows"]]
    return Result(data["machine"], rows, [Measurement(**measurement) for measurement in data["measurements"]])


def pyperf(result: Result) -> str:
    """The rows in the format of pyperf, whose `compare_to` compares two files."""
    benchmarks = [benchmark(row) for row in result.rows if not row.problem]
    common = {
        "unit": "second",
        "python_version": result.machine["python"],
        "cpu_model_name": result.machine["processor"],
    }
    return json.dumps({"version": "1.0", "metadata": common, "benchmarks": benchmarks}, indent=1)


def benchmark(row: Row) -> dict[str, Any]:
    values = [max(sample - row.loop, 1) / row.operations / 1e9 for sample in row.samples]
    name = f"{row.contender}: {row.workload}, {row.scenario.label}, {row.scenario.threads} threads"
    return {"metadata": {"name": name, "inner_loops": row.operations}, "runs": [{"values": values}]}
