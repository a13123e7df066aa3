"""Bytes per entry: the growth of the process when a map is filled with existing keys.

That is the table and the objects that the map makes for each entry, without keys and values.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadproof.bench.contenders import Contender
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import make_keys
from threadproof.bench.results import Measurement

BYTES = "bytes per entry"
ENTRIES = 200_000  # at least, so that rounding to pages is below 1 %: of small maps, many are made
STATM = Path("/proc/self/statm")


def bytes_per_entry(contenders: Sequence[Contender], n: int, kind: str = "int") -> list[Measurement]:
    """The bytes per entry of each contender at n keys; empty where the system has no /proc/self/statm."""
    return [one(contender, n, kind) for contender in contenders] if STATM.exists() else []


def one(contender: Contender, n: int, kind: str) -> Measurement:
    try:
        return Measurement(BYTES, contender.name, n, value=answer(filling, contender, n, kind))
    except ChildError as error:
        return Measurement(BYTES, contender.name, n, problem=str(error))


def filling(contender: Contender, n: int, kind: str) -> float:
    maps: list[Any] = [None] * max(ENTRIES // n, 1)
    keys = make_keys(kind, range(n))
    gc.collect()
    before = resident()
    for place in range(len(maps)):
        maps[place] = m = contender.make()
        for key in keys:
            m[key] = None
    return (resident() - before) / (n * len(maps))


def resident() -> int:
    """The resident bytes of this process."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()
