"""Has steps at its top level that would count as accesses anywhere else."""

from __future__ import annotations

from tests.race.schedule import Box

options: dict[str, int] = {}
options["size"] = 3
box = Box()
box.v = 1
