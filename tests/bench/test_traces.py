"""Traces are read as they are published, packed or not, and replayed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from threadproof.bench.contenders import BUILT_IN, of_contract
from threadproof.bench.runner import Effort, Runner
from threadproof.bench.scenario import Scenario
from threadproof.bench.traces import TraceError, guess, read_trace, replay
from threadproof.maps import HashMap

KEYS = [7, 8, 7, 9]
SAME = [0, 1, 0, 2]


@pytest.mark.parametrize(("name", "data"), [
    ("lines", b"7\n*\n8\n7\n9\n"),
    ("ranges", b"7 2 0 0\n7 1 0 1\n9 1 0 2\n"),
    ("columns", b"0 7 100\n1 8 100\n2 7 100\n3 9 100\n"),
    ("words4", struct.pack(">4I", *KEYS)),
    ("corda-words8", struct.pack(">4Q", *KEYS)),
])  # fmt: skip
def test_each_format_is_recognised_and_read(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert guess(path, data) == name.removeprefix("corda-")
    assert read_trace(path) == SAME


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_packed_traces_are_unpacked(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"trace{suffix}"
    path.write_bytes(pack(b"7\n8\n7\n9\n"))
    assert read_trace(path) == SAME
    assert read_trace(path, most=2) == SAME[:2]


def test_what_is_no_trace_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("7 8\nroses\n")
    with pytest.raises(TraceError, match=r"poem\.txt is not in format ranges"):
        read_trace(tmp_path / "poem.txt", "ranges")
    (tmp_path / "none").write_bytes(b"*\n")
    with pytest.raises(TraceError, match="none has no requests"):
        read_trace(tmp_path / "none")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_replayed_trace_leaves_exactly_its_keys(threads: int) -> None:
    workload = replay(Path("trace"), SAME * 20)
    scenario = Scenario(n=3, operations=80, threads=threads, heap=True)
    runner = Runner(scenario, (*BUILT_IN, of_contract("HashMap", HashMap)), lambda contender, workload: None)
    rows = runner.measure(workload, Effort(0, 1, 1), {})
    assert [row.problem for row in rows] == [""] * 4
    assert all(row.operations == 80 // threads for row in rows)
