"""Bytes per entry: by how much the process grows when a map is filled with keys that were there before.

So it counts the table, and whatever objects a map makes for each entry, and neither the keys nor the values.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import make_keys
from threadproof.bench.results import Figure
from threadproof.bench.rivals import Rival

BYTES = "bytes per entry"
ENTRIES = 200_000  # at least, so that whole pages hardly matter: of small maps, many are made
STATM = Path("/proc/self/statm")


def bytes_per_entry(rivals: Sequence[Rival], n: int, kind: str = "int") -> list[Figure]:
    """The bytes per entry of each rival at n keys; nothing where the system does not tell how big it is."""
    return [one(rival, n, kind) for rival in rivals] if STATM.exists() else []


def one(rival: Rival, n: int, kind: str) -> Figure:
    try:
        return Figure(BYTES, rival.name, n, value=answer(filling, rival, n, kind))
    except ChildError as error:
        return Figure(BYTES, rival.name, n, problem=str(error))


def filling(rival: Rival, n: int, kind: str) -> float:
    maps: list[Any] = [None] * max(ENTRIES // n, 1)
    keys = make_keys(kind, range(n))
    gc.collect()
    before = resident()
    for place in range(len(maps)):
        maps[place] = m = rival.make()
        for key in keys:
            m[key] = None
    return (resident() - before) / (n * len(maps))


def resident() -> int:
    """The bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()
