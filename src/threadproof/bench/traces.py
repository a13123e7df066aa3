"""Traces: recorded sequences of requested keys, read from files as they are published, and replayed.

A replay does what an unbounded cache does: look each key up, and store it if it is missing.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from threadproof.bench.keys import Distribution
from threadproof.bench.scenario import Worker
from threadproof.bench.workloads import LOOP, Start, Workload

TEXT = frozenset(b"0123456789 \t\r\n*-.,")  # the characters of a trace of numbers


class TraceError(Exception):
    """The file is not a trace, or has an unknown format; the message is one line."""


def lines(data: bytes) -> Iterable[bytes]:
    """One key on each line; a line with a star separates phases (LIRS)."""
    return (line.strip() for line in data.splitlines() if line.strip() not in (b"", b"*"))


def ranges(data: bytes) -> Iterable[int]:
    """Each line begins with the first block and the number of blocks; each block is a key (ARC)."""
    for line in data.splitlines():
        first, count, *_ = map(int, line.split())
        yield from range(first, first + count)


def second_column(data: bytes) -> Iterable[bytes]:
    """Time, key and size on each line (AdaptSize)."""
    return (line.split()[1] for line in data.splitlines() if line.strip())


def words(code: str) -> Callable[[bytes], Iterable[int]]:
    """A reader of binary keys; their byte order does not matter, as keys are only compared."""

    def read(data: bytes) -> Iterable[int]:
        numbers = array(code)
        numbers.frombytes(data[: len(data) // numbers.itemsize * numbers.itemsize])
        return numbers

    return read


FORMATS: dict[str, Callable[[bytes], Iterable[Any]]] = {
    "lines": lines,
    "ranges": ranges,
    "columns": second_column,
    "words4": words("I"),  # cache2k, CloudPhysics
    "words8": words("Q"),  # Corda
}


def read_trace(path: Path, form: str = "", most: int = sys.maxsize) -> list[int]:
    """The keys of the first `most` requests, as numbers in the order of their first appearance."""
    data = unpacked(path)
    read = FORMATS[form or guess(path, data)]
    numbers: dict[Any, int] = {}
    try:
        requests = [
            numbers.setdefault(key, len(numbers)) for key, _ in zip(read(data), range(most), strict=False)
        ]
    except (ValueError, IndexError) as error:
        raise TraceError(f"{path.name} is not in format {form or guess(path, data)}: {error}") from None
    if not requests:
        raise TraceError(f"{path.name} has no requests")
    return requests


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".zst":
        try:
            return bytes(import_module("compression.zstd").decompress(data))
        except ImportError:
            raise TraceError(f"{path.name} takes CPython 3.14 or newer; or unpack it with zstd -d") from None
    unpack = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)
    return unpack(data)


def guess(path: Path, data: bytes) -> str:
    """The format: of text by its number of columns; anything else is binary."""
    head = data[:4096]
    if not set(head) <= TEXT:
        return "words8" if "corda" in path.name else "words4"
    columns = len(head.partition(b"\n")[0].split())
    return {4: "ranges", 3: "columns"}.get(columns, "lines")


def replay(path: Path, requests: Sequence[int]) -> Workload:
    """The workload; N threads each have every N-th request."""

    def prepare(worker: Worker, draw: Distribution) -> list[Any]:
        return worker.keys(requests[worker.thread :: worker.threads])

    return Workload(path.name, f"replay of {path.name}", f"{LOOP}    <fetch>", prepare, start=Start.EMPTY)
